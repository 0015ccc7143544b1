"""What only AWS can tell: the stack, its queues, and the way to its region."""

import statistics
import time

import httpx

from infra.aws import Aws, AwsRefused
from infra.doctor.finding import Finding
from infra.doctor.redis import SAMPLES

# The next minute's message does the same work, so one that is older than three was not taken in time.
OLD_S = 180


def stack(aws: Aws) -> list[Finding]:
    """Whether it is deployed, and in this region."""
    try:
        found = aws.stack()
        elsewhere = [] if found else aws.elsewhere()
    except AwsRefused as error:
        return [Finding("stack", "failed", str(error), error.do)]
    if found is None and elsewhere:
        what = f"{aws.stack_name} is not in {aws.region} but in {', '.join(elsewhere)}"
        return [Finding("stack", "failed", what, f"call this again with REGION={elsewhere[0]}")]
    if found is None:
        what = f"{aws.stack_name} is not deployed in {aws.region}, nor in another region of this account"
        return [Finding("stack", "failed", what, f"make deploy STAGE={aws.stage}")]
    if found.status.endswith("_IN_PROGRESS"):
        return [Finding("stack", "warning", f"{aws.stack_name} is {found.status}", "wait until that has ended")]
    if found.status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        do = "the stack's events in the CloudFormation console name what failed; then deploy again"
        return [Finding("stack", "failed", f"{aws.stack_name} is {found.status}", do)]
    return [Finding("stack", "ok", f"{aws.stack_name} in {aws.region} is {found.status}")]


def queues(aws: Aws) -> list[Finding]:
    """Messages that were given up, and rounds that are not taken in time."""
    try:
        known = aws.queues()
    except AwsRefused as error:
        return [Finding("queues", "skipped", str(error), error.do)]
    found = []
    for queue in known:
        if "DeadLetter" in queue.name and queue.waiting:
            do = (
                "each failed several times: the log of its function says why; the next minute's round did its work, so"
                " purge the queue once the reason is known"
            )
            found.append(Finding("queues", "failed", f"{queue.name} holds {queue.waiting} messages", do))
        elif "DeadLetter" not in queue.name and (queue.oldest_s or 0) > OLD_S:
            do = "the function predict is throttled or fails: see its log, and the account's concurrency limit"
            found.append(Finding("queues", "failed", f"{queue.name}: the oldest waits for {queue.oldest_s:.0f} s", do))
    return found or [Finding("queues", "ok", f"{len(known)} queues, no dead letter, nothing old")]


def region_ms(aws: Aws) -> float | None:
    """How long a request to the region takes from here on a connection that stands; None if it does not answer."""
    took = []
    try:
        with httpx.Client(timeout=5) as http:
            http.get(aws.endpoint())
            for _ in range(SAMPLES):
                began = time.perf_counter()
                http.get(aws.endpoint())
                took.append(1000 * (time.perf_counter() - began))
    except httpx.HTTPError:
        return None
    return statistics.median(took)
