"""An evaluation's summary as lines for a reader."""

from collections.abc import Iterator
from typing import Any


def text(summary: dict[str, Any]) -> str:
    """The lines, each ended."""
    return "".join(line + "\n" for line in _lines(summary))


def _lines(s: dict[str, Any]) -> Iterator[str]:
    yield f"{s['file']}: {s['lines']:,} lines, {s['from']} to {s['to']}"
    yield f"  {s['rows']:,} steps of {s['step_s']} s, {s['rows_scored']:,} scored, {s['rows_judged']:,} summed up below"
    if s["baseline_short"]:
        yield "  below 240 rows a baseline is hardly known: the figures say little"
    if s["percent_as_shares"]:
        yield "  no percent metric lies above 1: read as shares (--no-shares reads percent)"
    known, missing = s["metrics_known"], s["metrics_missing"]
    yield f"  {len(known)} of {len(known) + len(missing)} model metrics" + (
        f"; missing: {', '.join(missing)}" if missing else ""
    )
    if s["columns_ignored"]:
        yield f"  columns that the catalogue does not know: {', '.join(s['columns_ignored'])}"
    if s["anomaly"] is None:
        yield "nothing to sum up: no row holds a model metric with a past"
        return
    yield from _anomaly(s["anomaly"])
    worst = s["failure"]["highest"]
    yield f"failure   mean {s['failure']['mean']:.3f}, highest {worst['probability']:.3f} at {worst['time']}"
    yield from _forecasts(s["forecasts"])
    if s["labels"] is not None:
        yield from _labels(s["labels"])


def _anomaly(a: dict[str, Any]) -> Iterator[str]:
    share = 100 * a["anomalous_share"]
    yield f"anomaly   {a['alarms']:,} alarms, {a['alarms_a_day']:.2f} a day; {share:.2f} % of rows above the threshold"
    if a["contributions"]:
        yield f"          because of {_shares(a['contributions'])}"
    h = a["highest"]
    yield f"          highest {h['score']:g} against {h['threshold']:g} at {h['time']}: {_shares(h['contributions'])}"


def _shares(contributions: dict[str, float]) -> str:
    return ", ".join(f"{key} {100 * share:.0f} %" for key, share in contributions.items())


def _forecasts(forecasts: dict[str, dict[str, float]]) -> Iterator[str]:
    for key, e in forecasts.items():
        near = _against(e["next"], e["last_value_next"])
        far = _against(e["path"], e["last_value_path"])
        yield f"forecast  {key}: mean error of the next value {near}, of 30 steps {far}"
        chosen = _against(e["chosen_path"], e["last_value_path"])
        yield f"          the round's pick, 30 steps {chosen}; {100 * e['within_80']:.0f} % within its 80 % interval"
    if not forecasts:
        yield "forecast  no forecast metric with 120 rows"


def _against(error: float, naive: float) -> str:
    ratio = f", ratio {error / naive:.2f}" if naive else ""
    return f"{error:.3g} (last value {naive:.3g}{ratio})"


def _labels(labels: dict[str, Any] | str) -> Iterator[str]:
    if isinstance(labels, str):
        yield f"labels    {labels}"
        return
    a, f = labels["anomaly"], labels["failure"]
    yield (
        f"labels    {labels['incidents']} incidents, {a['incidents_with_alarm']} with an alarm; "
        f"{a['false_alarms_a_day']:.2f} false alarms a day"
    )
    yield "                               AUC-PR   no model   chance      ROC   no model"
    for name, part in (("anomaly in incidents", a), ("failure within 30 minutes", f)):
        yield (
            f"          {name:26}{part['auc_pr']:.3f}{part['no_model_auc_pr']:11.3f}{part['chance_auc_pr']:9.3f}"
            f"{part['roc']:9.3f}{part['no_model_roc']:11.3f}"
        )
    yield f"          failure, Brier score {f['brier']:.4f}; saying the mean always {f['no_model_brier']:.4f}"
