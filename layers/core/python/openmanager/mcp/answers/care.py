"""What operators set about alerts."""

from openmanager.errors import InvalidInput
from openmanager.mcp.answer import Answer, instant
from openmanager.mcp.ask import Asked

_WHOM = ("servers", "roles", "rules")


def acknowledge(a: Asked) -> Answer:
    """Take care of an alert in the caller's name."""
    found = a.use("acknowledge", server=a["server"], rule=a["rule"], note=a["note"] or "")
    data = a.begun | {
        "server": found["server"],
        "rule": found["rule"],
        "state": found["state"],
        "severity": found["severity"],
        "by": found["by"],
    }
    said = f"{data['rule']} on {data['server']} is {data['state']} by {data['by']}: no reminders unless it worsens."
    return Answer(data, [said])


def silence(a: Asked) -> Answer:
    """Tell nobody of what these servers, roles and rules say, for some minutes."""
    whom = {name: a[name] for name in _WHOM if a[name]}
    # The route takes none for all of them; a program that forgets to say whom must not silence a fleet.
    if not whom:
        raise InvalidInput("servers", "name servers, roles or rules: without any the whole fleet would be silent")
    found = a.use("silence", minutes=a["minutes"], reason=a["reason"] or "", **whom)
    data = a.begun | {
        "id": found["id"],
        "start": instant(found["start"]),
        "end": instant(found["end"]),
        **{name: list(found[name]) for name in _WHOM},
    }
    named = "; ".join(f"{name} {', '.join(values)}" for name, values in whom.items())
    return Answer(data, [f"Nobody is told of {named} until {data['end']} (silence {data['id']})."])
