"""What an evaluation comes to: as JSON values, and as text."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import MODEL_METRICS
from openmanager.cli.scored import Scored, shares_of
from openmanager.inference import failure
from openmanager.measures import average_precision, brier, pages, roc, runs, soon
from openmanager.sources.table import Table, moment
from openmanager.telemetry.scaling import WARM_UP

DAY_MS = 86_400_000
MINUTE_MS = 60_000
# As in the models' cards: after an alarm an hour of quiet, and the quarter of an hour after an incident is excused.
MUTE_MIN, GRACE_MIN = 60, 15
_NAMED = 5


def summary(table: Table, scored: Scored, begin_ms: int | None) -> dict[str, Any]:
    """The figures, over the rows from `begin_ms` on; None: over those after the first 240, while the past is learnt."""
    score = scored.anomaly.score
    known = ~np.isnan(score)
    judged = known & (table.times_ms >= begin_ms) if begin_ms is not None else known & (np.cumsum(known) > WARM_UP)
    short = begin_ms is None and not judged.any()
    if short:
        judged = known
    present = dict(zip(MODEL_METRICS, (~np.isnan(scored.values[:, : len(MODEL_METRICS)])).any(axis=0), strict=True))
    return {
        "lines": table.lines,
        "step_s": table.step_ms // 1000,
        "from": moment(int(table.times_ms[0])),
        "to": moment(int(table.times_ms[-1])),
        "rows": len(score),
        "rows_scored": int(known.sum()),
        "rows_judged": int(judged.sum()),
        "baseline_short": bool(short),
        "percent_as_shares": scored.shares,
        "metrics_known": [key for key, is_there in present.items() if is_there],
        "metrics_missing": [key for key, is_there in present.items() if not is_there],
        "columns_ignored": list(table.ignored),
        "anomaly": _anomaly(table, scored, judged) if judged.any() else None,
        "failure": _failure(table, scored.failure, judged) if judged.any() else None,
        "forecasts": {key: _rounded(errors) for key, errors in scored.forecasts.items()},
        "labels": None if table.label is None else _labels(table, scored, judged, table.label),
    }


def _anomaly(table: Table, scored: Scored, judged: NDArray[np.bool_]) -> dict[str, Any]:
    a = scored.anomaly
    alarm = a.anomalous & judged
    _, count = pages(np.zeros_like(alarm), alarm, *_quiet(table))
    worst = int(np.nanargmax(np.where(judged, a.score, np.nan)))
    return {
        "alarms": count,
        "alarms_a_day": round(count / _days(table, judged), 3),
        "anomalous_share": round(float(alarm.sum() / judged.sum()), 5),
        "contributions": shares_of(np.asarray(a.contributions[alarm].sum(axis=0)), _NAMED) if alarm.any() else {},
        "highest": {
            "time": moment(int(table.times_ms[worst])),
            "score": float(f"{a.score[worst]:.4g}"),
            "threshold": float(f"{a.threshold[worst]:.4g}"),
            "contributions": shares_of(a.contributions[worst], _NAMED),
        },
    }


def _failure(table: Table, probability: NDArray[np.float32], judged: NDArray[np.bool_]) -> dict[str, Any]:
    highest = int(np.nanargmax(np.where(judged, probability, np.nan)))
    return {
        "mean": round(float(probability[judged].mean()), 4),
        "highest": {"time": moment(int(table.times_ms[highest])), "probability": round(float(probability[highest]), 4)},
    }


def _labels(table: Table, scored: Scored, judged: NDArray[np.bool_], label: NDArray[np.bool_]) -> dict[str, Any] | str:
    horizon = max(1, failure.HORIZON_MIN * MINUTE_MS // table.step_ms)
    target = soon(label, horizon)[judged]
    y = label[judged]
    if not y.any() or target.all():
        return "all rows summed up are alike: nothing to tell apart"
    # Rows in their order without those that nothing is known of, so that an incident stays one run.
    caught, false = pages(y, scored.anomaly.anomalous[judged], *_quiet(table))
    return {
        "incidents": len(runs(y)),
        "anomaly": _told_apart(y, scored.anomaly.score[judged], scored.plain_anomaly[judged])
        | {"incidents_with_alarm": caught, "false_alarms_a_day": round(false / _days(table, judged), 3)},
        "failure": _told_apart(target, scored.failure[judged], scored.plain_failure[judged])
        | {
            "brier": round(brier(target, scored.failure[judged].astype(np.float64)), 5),
            "no_model_brier": round(float(target.mean() * (1 - target.mean())), 5),
        },
    }


def _told_apart(label: NDArray[np.bool_], score: NDArray[Any], plain: NDArray[Any]) -> dict[str, float]:
    return {
        "auc_pr": round(average_precision(label, score), 4),
        "roc": round(roc(label, score), 4),
        "no_model_auc_pr": round(average_precision(label, plain), 4),
        "no_model_roc": round(roc(label, plain), 4),
        "chance_auc_pr": round(float(label.mean()), 4),
    }


def _days(table: Table, judged: NDArray[np.bool_]) -> float:
    return float(judged.sum()) * table.step_ms / DAY_MS


def _quiet(table: Table) -> tuple[int, int]:
    return max(1, MUTE_MIN * MINUTE_MS // table.step_ms), GRACE_MIN * MINUTE_MS // table.step_ms


def _rounded(errors: dict[str, float]) -> dict[str, float]:
    return {key: value if isinstance(value, int) else float(f"{value:.4g}") for key, value in errors.items()}
