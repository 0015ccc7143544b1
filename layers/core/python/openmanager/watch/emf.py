"""What a round did, as metrics of CloudWatch: a line of its embedded metric format, which it takes from Lambda's logs.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

Ten metrics with one dimension, because the first ten of an account cost nothing and each further one $0.30 a month
(https://aws.amazon.com/cloudwatch/pricing/, November 2026); a dimension more would multiply them. Where the queue
shares rounds out, each shard's has a line with the same names, so that it is still ten: sums are the fleet's.
"""

import os

from openmanager.notify import DeliveryReport
from openmanager.settings import settings
from openmanager.unloaded import unload
from openmanager.watch.round import Report

NAMESPACE, DIMENSION = "OpenManager", "stage"


def write(report: Report, began_s: float, ended_s: float, told: DeliveryReport | None = None) -> None:
    """Print the line of a round that lasted from `began_s` to `ended_s` (s since 1970), and of the notices after it.

    Nothing is printed outside of Lambda, where nobody reads it, nor for a tick that left its minute to another one.
    """
    if "AWS_LAMBDA_FUNCTION_NAME" not in os.environ or report.held:
        return
    # A hundredth of what a worker imports, and only what runs on Lambda needs it; without the package's other parts.
    unload("aws_lambda_powertools")
    from aws_lambda_powertools.metrics import EphemeralMetrics

    # Without a name of its own it would take one from a variable, as a dimension more.
    metrics = EphemeralMetrics(namespace=NAMESPACE, service="")
    metrics.add_dimension(DIMENSION, settings().stage)
    for name, (unit, value) in figures(report, began_s, ended_s, told).items():
        metrics.add_metric(name, unit, value)
    metrics.flush_metrics()


def figures(
    report: Report, began_s: float, ended_s: float, told: DeliveryReport | None
) -> dict[str, tuple[str, float]]:
    """Metric -> (CloudWatch's unit, value), of those that can be said: ten at most."""
    counts = {
        "ServersJudged": report.servers,
        "ServersOffline": report.offline,
        "Anomalies": report.anomalies,
        "FailureWarnings": report.warnings,
        "CarriedOver": len(report.carried_over),
        "DamagedFrames": report.damaged,
    }
    if told is not None:
        counts |= {"NoticesWaiting": told.waiting, "NoticesFailed": told.failed}
    found: dict[str, tuple[str, float]] = {name: ("Count", count) for name, count in counts.items()}
    found["RoundMilliseconds"] = ("Milliseconds", round((ended_s - began_s) * 1000))
    if report.newest_ms:
        found["VerdictAgeSeconds"] = ("Seconds", round(ended_s - report.newest_ms / 1000, 3))
    return found
