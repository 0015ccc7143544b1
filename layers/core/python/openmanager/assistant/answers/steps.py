"""What answers have in common: looking something up as evidence, and naming many things in one sentence. Pure."""

from collections.abc import Generator, Sequence
from typing import Any

from openmanager.assistant import runbooks
from openmanager.assistant.draft import Draft, Part, plain
from openmanager.assistant.wording import AGAIN, window
from openmanager.catalog import METRIC
from openmanager.tools.call import Call

# Of the sidecar's filesystem server, not of our own tools.
RUNBOOK = "read_runbook"
_DAY_S, _WEEK_S = 86_400, 7 * 86_400

Steps = Generator[Call, Any, None]
Looked = Generator[Call, Any, tuple[int, Any]]


def servers(d: Draft) -> Looked:
    """Look at all servers' newest values: (evidence, result)."""
    result = yield (call := Call("list_servers"))
    seen = [s["seen"] for s in result["servers"] if s["seen"]]
    n = d.look(call, result, min(seen, default=0), max(seen, default=0))
    d.fact(n, "fact servers", count=d.figure(n, ["servers"], "count", "count"))
    return n, result


def one_server(d: Draft, server: str) -> Looked:
    """Look at one server, with its whole verdict."""
    result = yield (call := Call("get_server", {"server": server}))
    judged = result["judged"]
    n = d.look(call, result, judged or result["seen"], max((judged or 0) + 60, result["seen"]))
    d.fact(n, "fact server", server=d.server(server))
    return n, result


def predictions(d: Draft) -> Looked:
    """Look at what the last rounds said of all servers."""
    result = yield (call := Call("list_predictions"))
    minutes = [p["minute"] for p in result["predictions"]]
    n = d.look(call, result, min(minutes, default=0), max(minutes, default=-60) + 60)
    d.fact(n, "fact predictions", count=d.figure(n, ["predictions"], "count", "count"))
    return n, result


def prediction(d: Draft, verdict: Any) -> int:
    """Take one of those as evidence of its own."""
    server, minute = verdict["server"], verdict["minute"]
    n = d.look(Call("get_prediction", {"server": server}), verdict, minute, minute + 60)
    d.fact(n, "fact prediction", server=d.server(server))
    return n


def open_alerts(d: Draft, server: str = "") -> Looked:
    """Look at the alerts that are not resolved, of one server or all."""
    call = Call("list_alerts", {"server": server} if server else {})
    result = yield call
    now = d.question.now_s // 60 * 60
    n = d.look(call, result, min((a["since"] for a in result["alerts"]), default=now), now)
    d.fact(n, "fact alerts", count=d.figure(n, ["alerts"], "count", "count"))
    return n, result


def metrics(d: Draft, server: str, metric: str, span: tuple[int, int], name: str) -> Looked:
    """Look at a metric's past."""
    call = Call("query_metrics", {"server": server, "metrics": metric, "from": span[0], "to": span[1]})
    result = yield call
    n = d.look(call, result, result["from"], result["to"])
    d.fact(n, "fact metrics", metric=d.metric_name(metric), server=d.server(server), window=name)
    return n, result


def beyond(d: Draft, server: str, subject: str) -> Steps:
    """What the advanced mode adds about a server and what is the matter: how it was before, and what to do about it."""
    if d.question.mode != "advanced":
        return
    if subject in METRIC:
        yield from before(d, server, subject)
    yield from runbook(d, subject)


def before(d: Draft, server: str, metric: str) -> Steps:
    """The last hour compared with the same hour a day and a week before, as far as there are data."""
    now = int(d.question.now_s // 60 * 60) + 60
    said, named = 0, {"metric": d.metric_name(metric), "server": d.server(server)}
    for key, back in (("hour now", 0), ("day before", _DAY_S), ("week before", _WEEK_S)):
        span = (now - 3600 - back, now - back)
        n, _ = yield from metrics(d, server, metric, span, d.time(span[0]))
        mean = d.metric(n, ["metrics", metric], metric, "mean")
        if mean["value"] is not None:
            d.say(key, mean=mean, **named)
            said += bool(back)
        elif not back:
            return
    if not said:
        d.say("never before", **named)


def runbook(d: Draft, subject: str) -> Steps:
    """The steps of the runbook that is about this, if there is one."""
    topic = runbooks.topic(subject)
    if not topic:
        return
    found = yield (call := Call(RUNBOOK, {"topic": topic, "language": d.question.language}))
    if found["why"]:
        d.say(f"runbook {found['why']}", topic=topic)
        return
    now = d.question.now_s // 60 * 60
    n = d.look(call, found, now, now)
    d.fact(n, "fact runbook", source=plain(found["source"]))
    d.say("runbook", title=found["title"], source=plain(found["source"]))
    for part in ("look", "do"):
        if found[part]:
            d.say(f"runbook {part}")
        for i, step in enumerate(found[part], 1):
            d.say("runbook step", number=str(i), step=step)


def standing(d: Draft, n: int) -> list[Part]:
    """How many alerts are open, by state; a pending one is none yet."""
    states = ("firing", "acknowledged", "recovering", "nodata")
    counts = [(s, d.figure(n, ["alerts", {"state": s}], "count", "count")) for s in states]
    return joined([counted(d, count, state) for state, count in counts if count["value"]])


def counted(d: Draft, count: Part, word: str) -> list[Part]:
    """How many of what."""
    if d.question.language == "ko":
        return [{"text": f"{d.word(word)} "}, count]
    return [count, {"text": f" {d.word(word)}"}]


def joined(groups: Sequence[Sequence[Part]], between: str = ", ") -> list[Part]:
    """Groups of parts, one after the other."""
    parts: list[Part] = []
    for group in groups:
        parts += [{"text": between}] * bool(parts) + list(group)
    return parts


def valued(d: Draft, server: str, figure: Part) -> list[Part]:
    """A server and its figure."""
    return [d.server(server), {"text": " "}, figure]


def window_name(d: Draft, name: str) -> str:
    """The window asked about, in words."""
    asked = d.question.window
    return window(name, d.question.language, onwards=bool(asked and asked.onwards))


def ask_again(d: Draft, server: str, metric: str = "") -> str:
    """The question with what it lacked."""
    q = d.question
    table = AGAIN[q.language]
    name, _, _ = q.span("24h")
    return table.get(q.intent, table["other"]).format(
        server=server, metric=d.metric_name(metric or q.metric), window=window_name(d, name), text=q.text.rstrip(" ?.!")
    )


def wanted(d: Draft, server: str, role: str) -> bool:
    """Whether the question is about this server, by name or role."""
    q = d.question
    return (not q.servers or server in q.servers) and (not q.role or role == q.role)
