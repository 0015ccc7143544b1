"""The shipped models over plain arrays, as the live round applies them: for whoever has recordings of their own.

Everything is causal: a row is scored from itself and the rows before it, so that the scores of the first k live rows
are the same whatever follows. Rows are a minute apart, oldest first; NaN is a missing value. The model files are those
of `settings.models_dir`; ModelUnavailable names one that is missing or damaged.

    scores = anomaly_scores(history, live)         # (h, 20) and (n, 20) in the order of catalog.MODEL_METRICS
    scores.anomalous                               # (n,) True where the alarm would have rung
    failure_probabilities(history, live)           # (n,)
    forecasts(cpu, high=100)                       # (30,) what the network says comes after the last value of `cpu`
    outlook(cpu, high=100)                         # what the live round says: the candidate that wins, and intervals

Imports inference, telemetry and the ground floor.
"""

from openmanager.evaluation.ahead import Outlook, Rolling, forecasts, outlook, rolling
from openmanager.evaluation.scores import (
    AnomalyScores,
    anomaly_of,
    anomaly_scores,
    failure_of,
    failure_probabilities,
    no_model_anomaly,
    no_model_failure,
    standardize,
)

__all__ = [
    "AnomalyScores",
    "Outlook",
    "Rolling",
    "anomaly_of",
    "anomaly_scores",
    "failure_of",
    "failure_probabilities",
    "forecasts",
    "no_model_anomaly",
    "no_model_failure",
    "outlook",
    "rolling",
    "standardize",
]
