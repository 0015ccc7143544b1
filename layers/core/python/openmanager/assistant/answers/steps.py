"""What answers have in common: looking something up as evidence, and naming many things in one sentence. Pure."""

from collections.abc import Generator, Sequence
from typing import Any

from openmanager.assistant.draft import Draft, Part
from openmanager.assistant.wording import AGAIN, window
from openmanager.tools.call import Call

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
