"""The record: precision, recall and lead of warnings, scores of probabilities and forecasts. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from statistics import median
from typing import Any

from openmanager.ledger.scores import Cells, Errors, summary
from openmanager.ledger.track import FAILURE, HORIZON_MIN

# A predictive rule that came true less often than this, of at least so many settled warnings, pages nobody.
LEAST_PRECISION = 0.3
FEWEST_SETTLED = 10
# So many settled probabilities, or forecast steps, before quality is spoken of.
_FEWEST_SCORED = 1_000


def record(
    episodes: Sequence[Mapping[str, Any]],
    incidents: Sequence[Mapping[str, Any]],
    sums: Iterable[tuple[date, str, Mapping[str, Any]]],
) -> dict[str, Any]:
    """The record of a span, from rows as stores.ledger reads them.

    `models` by model: horizon, hits, false alarms, during, precision, how many incidents, announced, recall, median
    lead. `probabilities` as in `scores.summary`; `forecasts` by metric: MAE over that of the last value, share inside
    the 80 % interval, and how often each method spoke. `weeks` the same by week, shorter. `quality` one number a
    model that should be above 0: the Brier skill of probabilities, 1 - MAE over the last value's of forecasts.
    """
    sums = list(sums)
    cells, forecasts = _pooled(sums)
    probabilities = summary(cells)
    by_metric = {metric: _forecast(methods) for metric, methods in sorted(forecasts.items())}
    return {
        "models": {model: _model(model, episodes, incidents) for model in HORIZON_MIN},
        "incidents": len(incidents),
        "probabilities": probabilities,
        "forecasts": by_metric,
        "weeks": _weeks(episodes, incidents, sums),
        "quality": {
            FAILURE: probabilities["skill"] if probabilities and probabilities["count"] >= _FEWEST_SCORED else None,
            **{
                f"forecast {metric}": None if f["steps"] < _FEWEST_SCORED or f["skill"] is None else f["skill"]
                for metric, f in by_metric.items()
            },
        },
    }


def earns(whole: Mapping[str, Any], model: str) -> str:
    """Why a model's warnings page nobody at present; empty if they may."""
    found = whole["models"][model]
    settled = found["hits"] + found["false_alarms"]
    if settled < FEWEST_SETTLED or found["precision"] >= LEAST_PRECISION:
        return ""
    return f"{found['hits']} of its last {settled} warnings came true"


def _pooled(sums: Iterable[tuple[date, str, Mapping[str, Any]]]) -> tuple[Cells, dict[str, dict[str, Errors]]]:
    cells = Cells()
    forecasts: dict[str, dict[str, Errors]] = defaultdict(lambda: defaultdict(Errors))
    for _, what, body in sums:
        if what == FAILURE:
            cells.merge(Cells(**body))
        else:
            metric, _, method = what.partition("|")
            forecasts[metric][method].merge(Errors(**body))
    return cells, forecasts


def _model(model: str, episodes: Sequence[Mapping[str, Any]], incidents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    own = [e for e in episodes if e["model"] == model]
    hits = [e for e in own if e["outcome"] == "hit"]
    wrong = sum(e["outcome"] == "false alarm" for e in own)
    announced = sum(model in i["announced"] for i in incidents)
    return {
        "horizon_minutes": HORIZON_MIN[model],
        "hits": len(hits),
        "false_alarms": wrong,
        "during": len(own) - len(hits) - wrong,
        "precision": round(len(hits) / (len(hits) + wrong), 4) if len(hits) + wrong else None,
        "incidents": len(incidents),
        "announced": announced,
        "missed": len(incidents) - announced,
        "recall": round(announced / len(incidents), 4) if incidents else None,
        "median_lead_s": median(e["lead_s"] for e in hits) if hits else None,
    }


def _forecast(methods: Mapping[str, Errors]) -> dict[str, Any]:
    whole = Errors()
    for errors in methods.values():
        whole.merge(errors)
    ratio = whole.error / whole.naive if whole.naive else None
    return {
        "steps": whole.count,
        "mae_over_last_value": None if ratio is None else round(ratio, 4),
        "skill": None if ratio is None else round(1 - ratio, 4),
        "inside_80": round(whole.inside / whole.count, 4) if whole.count else None,
        "methods": {method: round(e.count / whole.count, 4) for method, e in sorted(methods.items()) if whole.count},
    }


def _weeks(
    episodes: Sequence[Mapping[str, Any]],
    incidents: Sequence[Mapping[str, Any]],
    sums: Sequence[tuple[date, str, Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    answer = []
    for week in sorted({week for week, _, _ in sums}):
        cells, forecasts = _pooled(row for row in sums if row[0] == week)
        scored = summary(cells)
        pooled = Errors()
        for methods in forecasts.values():
            for errors in methods.values():
                pooled.merge(errors)
        answer.append(
            {
                "week": week.isoformat(),
                "brier": scored and scored["brier"],
                "skill": scored and scored["skill"],
                "mae_over_last_value": round(pooled.error / pooled.naive, 4) if pooled.naive else None,
                **{
                    f"{model}_{name}": found[name]
                    for model in HORIZON_MIN
                    for found in [_model(model, _of(week, episodes), _of(week, incidents))]
                    for name in ("hits", "false_alarms", "missed")
                },
            }
        )
    return answer


def _of(week: date, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that began in a week."""
    return [row for row in rows if 0 <= (_day(row) - week).days < 7]


def _day(row: Mapping[str, Any]) -> date:
    return datetime.fromtimestamp(row["began"], UTC).date()
