"""An incident's report as Markdown. Pure.

Whatever somebody else chose — names, notes, reasons — stands in code spans, in which no link, image, heading or HTML
begins; so that nobody's note becomes a part of the report.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from openmanager.catalog import METRIC
from openmanager.notify.words import WORDS as TOLD
from openmanager.notify.words import amount, clock, duration, share
from openmanager.oncall.report.words import SENTENCES, WORDS

_LONGEST = 500
_SECTIONS = ("timeline", "servers", "announced", "acknowledged", "metrics", "resolution", "notifications")

Row = Mapping[str, Any]


def markdown(report: Row, language: str) -> str:
    """The report in a language: en or ko."""
    said = _Said(language)
    tell: Mapping[str, Callable[[Row], str]] = {
        "timeline": said.happened, "servers": said.server, "announced": said.announced,
        "acknowledged": said.acknowledged, "metrics": said.metric, "resolution": said.ended,
        "notifications": said.notice,
    }  # fmt: skip
    lines = [f"# {said('title', id=code(report['id']))}", "", *said.head(report)]
    for name in _SECTIONS:
        section = report[name]
        rows = [f"- {tell[name](row)}" for row in section["rows"]] or [said("none")]
        source = said("source", source=said(f"source {section['source']}"), window=said.window(section["window"]))
        lines += ["", f"## {said(name)}", "", *rows, "", source]
    lines += ["", f"## {said('not_in_the_data')}", "", *(f"- {said.unknown(row)}" for row in report["not_in_the_data"])]
    return "\n".join(lines) + "\n"


def code(text: Any) -> str:
    """A text as a code span of one line, without signs that are not seen or turn the line round."""
    seen = "".join(" " if c.isspace() else c for c in str(text) if c.isspace() or unicodedata.category(c)[0] != "C")
    seen = " ".join(seen.split())
    seen = seen if len(seen) <= _LONGEST else seen[: _LONGEST - 1] + "…"
    if not seen:
        return "–"
    # A span ends with as many backticks as it begins with (CommonMark 6.1); next to one of its own there is a blank.
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", seen)), default=0))
    return f"{fence} {seen} {fence}" if seen[0] == "`" or seen[-1] == "`" else f"{fence}{seen}{fence}"


class _Said:
    """The rows in words of one language."""

    def __init__(self, language: str) -> None:
        self._sentences, self._words, self._told = SENTENCES[language], WORDS[language], TOLD[language]

    def __call__(self, key: str, **parts: str) -> str:
        return self._sentences[key].format(**parts)

    def word(self, key: str | None) -> str:
        """A word of ours; whatever else stands there is somebody's."""
        if key is None:
            return self("unknown")
        return self._words.get(key) or code(key)

    def window(self, window: Row | None) -> str:
        if window is None:
            return self("no window")
        return self("from to", start=_time(window["from"]), stop=_time(window["to"]))

    def span(self, seconds: float) -> str:
        return duration(seconds, self._told)

    def head(self, report: Row) -> list[str]:
        """What it is, in a few lines."""
        lasted = self.span(report["lasted_s"])
        over = report["ended"] is not None
        root = report["root"]
        return [
            "- " + self("state", state=self("ended" if over else "open"), severity=self.word(report["severity"])),
            "- " + self("began", time=_time(report["began"])),
            "- " + (self("end", time=_time(report["ended"]), lasted=lasted) if over else
                    self("so far", time=_time(report["window"]["to"]), lasted=lasted)),
            "- " + self("root", server=code(root["server"]), rule=code(root["rule"])),
            "",
            f"{self('source', source=self('source history'), window=self.window(report['window']))}. {self('zone')}",
        ]  # fmt: skip

    def happened(self, row: Row) -> str:
        more = self("told", event=self.word(row["told"])) if row["told"] else ""
        more += self("held back", reason=code(row["suppressed"])) if "suppressed" in row else ""
        more += self._care(row) if row["what"] == "acknowledged" else ""
        more += self("from book") if row["source"] == "book" else ""
        return self(
            "happened", time=_time(row["at"]), what=self.word(row["what"]), severity=self.word(row["severity"]),
            value=self._value(row), more=more, **_named(row),
        )  # fmt: skip

    def _value(self, row: Row) -> str:
        if row["value"] is None:
            return ""
        value, limit = (self._figure(row[name], row) for name in ("value", "limit"))
        return self("value limit", value=value, limit=limit) if row["limit"] is not None else self("value", value=value)

    def _figure(self, value: float | None, row: Row) -> str:
        """A value of what an alert watches, in its unit."""
        if value is None:
            return self("unknown")
        kind, metric = row["kind"], row["metric"]
        if kind == "threshold":
            return amount(value, metric or "")
        if kind in ("offline", "exhaustion"):
            return self.span(value * (3600 if kind == "exhaustion" else 1))
        return share(value) if kind == "failure" else f"{value:.4g}"

    def _care(self, row: Row) -> str:
        by = self("by", by=code(row["by"]) if row.get("by") else self("hidden" if "by" not in row else "unknown"))
        return by + (self("note", note=code(row["note"])) if row.get("note") else "")

    def server(self, row: Row) -> str:
        role = code(row["role"]) if row["role"] else self("unknown")
        needs, affects = (self._neighbours(row[name]) for name in ("needs", "affects"))
        status = self.word(row["status"])
        return self("server", server=code(row["server"]), role=role, status=status, needs=needs, affects=affects)

    def _neighbours(self, found: Row | None) -> str:
        """Those in trouble by name, the others by number."""
        if found is None:
            return self("unknown")
        bad = found["not_healthy"]
        named = [self("neighbour", server=code(r["server"]), status=self.word(r["status"])) for r in bad]
        if others := found["count"] - len(bad):
            named.append(self("neighbours", count=str(others)) if bad else self("all healthy", count=str(others)))
        return ", ".join(named) or self("nobody")

    def announced(self, row: Row) -> str:
        found = row.get("incident")
        about = {"began": _time(found["began"]), "kind": self.word(found["kind"])} if found else {}
        if row["model"] is None:
            return self("not announced", server=code(row["server"]), **about)
        to_incident = self("to incident", lead=self.span(row["to_incident_s"]), **about) if found else ""
        to_alert = ""
        if row["to_alert_s"] is not None:
            alert = row["alert"]
            to_alert = self(
                "to alert", lead=self.span(row["to_alert_s"]), rule=code(alert["rule"]), fired=_time(alert["fired"])
            )
        key = "announced by" if row["source"] == "ledger" else "announced by alert"
        return self(
            key, server=code(row["server"]), model=self.word(row["model"]), time=_time(row["predicted"]),
            to_incident=to_incident, to_alert=to_alert,
        )  # fmt: skip

    def acknowledged(self, row: Row) -> str:
        return self("acknowledgement", time=_time(row["at"]), care=self._care(row), **_named(row))

    def metric(self, row: Row) -> str:
        metric = row["metric"]
        moment = self("no firing")
        if row["at_firing"] is not None:
            moment = self("at firing", value=amount(row["at_firing"], metric), fired=_time(row["fired"]))
        return self(
            "metric", server=code(row["server"]), metric=self.metric_name(metric), low=amount(row["min"], metric),
            high=amount(row["max"], metric), moment=moment, start=_time(row["window"]["from"]),
            stop=_time(row["window"]["to"]), step=self.span(row["step_s"]), resolution=self.word(row["resolution"]),
        )  # fmt: skip

    def metric_name(self, metric: str) -> str:
        return self._told.metrics[metric] if metric in METRIC else code(metric)

    def ended(self, row: Row) -> str:
        if row["resolved"] is None:
            return self("no end" if row["state"] is None else "standing", state=self.word(row["state"]), **_named(row))
        how = self("taken away", reason=code(row["reason"])) if "reason" in row else self(
            "condition over", value=self._value(row)
        )  # fmt: skip
        after = self("after", lasted=self.span(row["after_s"])) if row["after_s"] is not None else ""
        return self("resolved", time=_time(row["resolved"]), after=after, how=how, **_named(row))

    def notice(self, row: Row) -> str:
        status = self("status", status=str(row["status"])) if row["status"] is not None else ""
        target = code(row["target"]) if "target" in row else self("hidden")
        return self(
            "notice", time=_time(row["at"]), event=self.word(row["event"]), target=target,
            outcome=self.word(row["outcome"]), tries=str(row["tries"]), status=status, **_named(row),
        )  # fmt: skip

    def unknown(self, row: Row) -> str:
        parts = {name: code(row[name]) for name in ("server", "rule") if name in row}
        parts |= {"servers": ", ".join(map(code, row["servers"]))} if "servers" in row else {}
        parts |= {"metric": self.metric_name(row["metric"])} if "metric" in row else {}
        parts |= {"count": str(row["count"])} if "count" in row else {}
        return self(f"unknown {row['what']}", **parts)


def _named(row: Row) -> dict[str, str]:
    return {"server": code(row["server"]), "rule": code(row["rule"])}


def _time(at_s: float) -> str:
    # The zone is said once.
    return clock(at_s, "UTC").removesuffix(" UTC")
