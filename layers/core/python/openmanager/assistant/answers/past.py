"""Of the past: how a metric went, what predictions were worth, and who did what. Pure."""

from typing import Any

from openmanager.assistant.answers.steps import Steps, ask_again, joined, metrics, servers, window_name
from openmanager.assistant.draft import Draft, plain
from openmanager.assistant.matching import Text
from openmanager.assistant.words import ACTIONS
from openmanager.catalog import METRIC
from openmanager.tools.call import Call, Refused

_OFFERED = ("cpu_utilization", "memory_used_effective", "filesystem_utilization", "load_5m")
_MOST_ROWS = 5
_DAY_S = 86_400
# What is told of the audit log as security, the gravest first.
_WATCHED = ("login.flood", "login.wait", "login.fail", "refused", "token.refused", "login", "logout")
_FAILED = frozenset({"login.flood", "login.wait", "login.fail", "refused", "token.refused"})


def trend(d: Draft) -> Steps:
    """How a metric of a server went."""
    q = d.question
    name, start, stop = q.span("24h")
    if not q.servers:
        _, found = yield from servers(d)
        d.say("which server")
        for s in found["servers"][:5]:
            d.choose(s["id"], ask_again(d, s["id"], q.metric or _OFFERED[0]))
        return
    if not q.metric:
        d.say("which metric", server=d.server(q.servers[0]))
        for metric in _OFFERED:
            d.choose(d.metric_name(metric), ask_again(d, q.servers[0], metric))
        return
    for server in q.servers:
        yield from _one(d, server, (start, stop), window_name(d, name))
    if len(q.servers) == 1:
        d.chart(server, q.metric, start, stop)
        d.check(q.metric, server)
        d.link = f"#/servers/{server}"


def _one(d: Draft, server: str, span: tuple[int, int], name: str) -> Steps:
    q = d.question
    said = {"metric": d.metric_name(q.metric), "server": d.server(server), "window": name}
    n, _ = yield from metrics(d, server, q.metric, span, name)
    path = ["metrics", q.metric]
    reduced = {r: d.metric(n, path, q.metric, r) for r in ("first", "last", "change", "min", "max", "mean")}
    if reduced["last"]["value"] is None:
        d.say("trend none", **said)
        return
    moved = d.word(_moved(q.metric, reduced))
    d.say("trend", moved=moved, first=reduced["first"], last=reduced["last"], **said)
    step = d.figure(n, ["step"], "s")
    d.say("trend range", low=reduced["min"], high=reduced["max"], mean=reduced["mean"], step=step)
    now = int(q.now_s // 60 * 60) + 60
    if span[1] < now:
        yield from _mean(d, server, (now - 3600, now), "trend now")
    if q.mode == "advanced":
        yield from _mean(d, server, (2 * span[0] - span[1], span[0]), "trend before")
        for key, back in (("trend day before", _DAY_S), ("trend week before", 7 * _DAY_S)):
            # The span before it is said already where it is a day or a week.
            if span[1] - span[0] < back:
                yield from _mean(d, server, (span[0] - back, span[1] - back), key)


def _mean(d: Draft, server: str, span: tuple[int, int], key: str) -> Steps:
    metric = d.question.metric
    n, _ = yield from metrics(d, server, metric, span, f"{d.time(span[0])} – {d.time(span[1])}")
    mean = d.metric(n, ["metrics", metric], metric, "mean")
    if mean["value"] is not None:
        d.say(key, mean=mean)


def _moved(metric: str, reduced: dict[str, Any]) -> str:
    """In which direction, if by more than a hundredth of the range, or a twentieth of the mean."""
    change, high = reduced["change"]["value"], METRIC[metric].high
    least = high / 100 if high else abs(reduced["mean"]["value"]) / 20
    if abs(change) <= least:
        return "steady"
    return "rose" if change > 0 else "fell"


def record(d: Draft) -> Steps:
    """What predictions were worth."""
    q = d.question
    name, start, stop = q.span("28d")
    server = q.servers[0] if len(q.servers) == 1 else ""
    call = Call("prediction_record", {"from": start, "to": stop} | ({"server": server} if server else {}))
    found = yield call
    said = window_name(d, name)
    n = d.look(call, found, start, stop)
    d.fact(n, "fact record", window=said)
    d.link = "#/record"
    settled = 0
    for model, about in found["models"].items():
        if not about["hits"] + about["false_alarms"] + about["incidents"]:
            continue
        settled += 1
        path = ["models", model]
        counts = {k: d.figure(n, [*path, k], "count") for k in ("hits", "missed", "incidents")}
        wrong = d.figure(n, [*path, "false_alarms"], "count")
        d.say("record model", model=d.word(model), hits=counts["hits"], wrong=wrong, missed=counts["missed"])
        if about["precision"] is not None:
            d.say("record precision", precision=d.figure(n, [*path, "precision"], "share"))
        if about["recall"] is not None:
            recall = d.figure(n, [*path, "recall"], "share")
            d.say("record recall", recall=recall, incidents=counts["incidents"])
        if about["median_lead_s"] is not None:
            d.say("record lead", lead=d.figure(n, [*path, "median_lead_s"], "s"))
    chances = found["probabilities"]
    if chances and chances["skill"] is not None:
        settled += 1
        skill, count = (d.figure(n, ["probabilities", k], u) for k, u in (("skill", "share"), ("count", "count")))
        d.say("record skill" if chances["skill"] > 0 else "record skill less", skill=skill, count=count)
    for metric, about in found["forecasts"].items():
        if about["mae_over_last_value"] is not None:
            settled += 1
            ratio = d.figure(n, ["forecasts", metric, "mae_over_last_value"], "number")
            d.say("record forecast", metric=d.metric_name(metric), ratio=ratio)
    if not settled:
        d.say("record none", window=said)


def security(d: Draft) -> Steps:
    """What the audit log has of logins, refusals and changes, for those who may read it."""
    q = d.question
    name, start, stop = q.span("24h")
    said = window_name(d, name)
    try:
        found = yield (call := Call("read_audit_log", {"from": start, "to": stop}))
    except Refused as refusal:
        d.say("audit refused", roles=", ".join(refusal.roles))
        return
    n = d.look(call, found, start, stop)
    d.fact(n, "fact audit", count=d.figure(n, ["rows"], "count", "count"), window=said)
    rows = [row for row in found["rows"] if row["action"].startswith(_asked_kind(q.text))]
    kinds = sorted({row["action"] for row in rows}, key=lambda k: (_place(k), k))
    counts = [(k, d.figure(n, ["rows", {"action": k}], "count", "count")) for k in kinds]
    if not counts:
        d.say("audit none", window=said)
        return
    d.say("audit counts", window=said, parts=joined([[{"text": f"{d.word(k)} "}, c] for k, c in counts]))
    told = [row for row in rows if row["action"] in _FAILED] or rows
    for row in told[-_MOST_ROWS:][::-1]:
        at = d.figure(n, ["rows", {"seq": row["seq"]}, "at"], "time")
        d.say("audit line", time=at, **{k: plain(row[k]) for k in ("actor", "action", "target")})
    if not found["all"]:
        d.say("audit more")


def _asked_kind(asked: str) -> tuple[str, ...]:
    """How the actions begin that a question is about."""
    kinds, _ = Text.of(asked).take(ACTIONS)
    return tuple(kinds[0].split()) if kinds else ("",)


def _place(action: str) -> int:
    return _WATCHED.index(action) if action in _WATCHED else len(_WATCHED)
