"""/api/metrics: real Prometheus reads it, its figures are those of the API, and all instances say the same."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from openmanager import meter, metering
from openmanager.catalog import METRICS, STATUSES
from openmanager.exposition import exposition
from openmanager.inference import failure
from openmanager.watch import rounds

from functions.ingest.handler import handler as ingest
from functions.metrics.handler import handler as metrics
from functions.servers.handler import handler as servers
from tests.conftest import API_KEY
from tests.events import Context, invoke

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(autouse=True)
def counts() -> Iterator[None]:
    meter.take()
    yield
    meter.take()


def scraped() -> str:
    answer = invoke(metrics, "GET", "/api/metrics", key=API_KEY)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert answer.headers["cache-control"] == "no-store"
    return answer.body.decode()


def read(text: str) -> Samples:
    """Samples by name and labels; names and labels here hold nothing that needs care."""
    found: Samples = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, rest = line.partition("{")
            labels, _, value = rest.rpartition("} ")
            pairs = frozenset(tuple(part.split("=", 1)) for part in labels.replace('"', "").split(",") if part)
            key = (name, pairs)
            assert key not in found
            found[key] = float(value)
    return found


def of(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((f"openmanager_{name}", frozenset(labels.items())))


def checked(text: str) -> str:
    """What promtool has to say; its lint included."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool, of Debian's package prometheus, is not here")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def pushed(cpu: float = 97.5) -> None:
    now = int(time.time()) // 60 * 60 - 120
    web = {"server": "web-01", "role": "web", "environment": "aws", "labels": {"team": "a"}}
    samples = [
        {"time": now + 10, "metrics": {"cpu_utilization": cpu, "memory_used": 40, "network_receive_bytes": 2000}}
    ]
    body = json.dumps({"servers": [web | {"samples": samples}, {"server": "db-01", "samples": samples}]}).encode()
    assert invoke(ingest, "POST", "/api/ingest", key=API_KEY, body=body).status == 200


def test_prometheus_takes_it_from_the_first_moment_on(stores_env: dict[str, str]) -> None:
    assert checked(scraped()) == ""
    pushed()
    rounds.tick(int(time.time() * 1000))
    invoke(servers, "GET", "/api/servers")
    metering.write()
    text = scraped()
    assert "openmanager_invocation_duration_seconds_bucket" in text
    assert checked(text) == ""


def test_its_servers_are_those_of_the_api(stores_env: dict[str, str]) -> None:
    pushed()
    rounds.tick(int((time.time() + 60) * 1000))
    told = {s["id"]: s for s in invoke(servers, "GET", "/api/servers", key=API_KEY).json()["servers"]}
    samples = read(scraped())
    web = {"server": "web-01", "role": "web", "environment": "aws"}
    assert of(samples, "host_cpu_utilization_ratio", **web) == 0.975
    assert of(samples, "host_network_receive_bytes_per_second", server="db-01") == 2000
    assert of(samples, "server_seen_timestamp_seconds", **web) == told["web-01"]["seen"]
    assert of(samples, "server_judged_timestamp_seconds", **web) == told["web-01"]["judged"]
    assert of(samples, "confidence", **web) == told["web-01"]["confidence"]
    statuses = {status: of(samples, "servers", status=status) for status in STATUSES}
    assert statuses == {s: float(sum(t["status"] == s for t in told.values())) for s in STATUSES}
    assert statuses["critical"] == 2


def test_its_counters_are_everybody_s_and_only_grow(stores_env: dict[str, str]) -> None:
    pushed()
    report = rounds.tick(int((time.time() + 60) * 1000))
    invoke(servers, "GET", "/api/servers")
    invoke(servers, "GET", "/api/servers", key=API_KEY)
    metering.write()
    first = read(scraped())
    assert of(first, "invocations_total", function="ingest") == 1
    assert of(first, "answers_total", function="servers", status="2xx") == 1
    assert of(first, "answers_total", function="servers", status="4xx") == 1
    assert of(first, "invocation_duration_seconds_count", function="servers") == 2
    assert of(first, "invocation_duration_seconds_bucket", function="servers", le="+Inf") == 2
    below = [
        of(first, "invocation_duration_seconds_bucket", function="servers", le=f"{ms / 1000:g}") or 0
        for ms in meter.BUCKETS_MS
    ]
    assert below == sorted(below)
    assert (of(first, "invocation_duration_seconds_sum", function="servers") or 0) > 0
    assert of(first, "verdicts_total", function="shared") == report.verdicts > 0
    failure.probability(np.zeros((1, 5), np.float32))
    metering.write()
    assert (of(read(scraped()), "inference_seconds_total", function="shared") or 0) > 0
    # What another instance counted has been written down by it; here a month later.
    meter.count("redis_commands", 5)
    metering.write(time.time() + 40 * 86_400)
    second = read(scraped())
    for key, value in first.items():
        if key[0].endswith(("_total", "_count", "_sum", "_bucket")):
            assert second[key] >= value, key


def test_open_alerts_are_counted(stores_env: dict[str, str]) -> None:
    assert of(read(scraped()), "open_alerts", severity="critical") == 0


def test_whoever_may_not_read_gets_nothing(stores_env: dict[str, str]) -> None:
    assert invoke(metrics, "GET", "/api/metrics").status == 401


def test_names_that_others_wrote_do_not_break_out() -> None:
    server = {
        "id": "web-01", "role": 'a"b\\c\nd', "status": "healthy", "seen": 0, "judged": None, "failure": None,
        "anomaly": None, "confidence": 0.25, "metrics": {"load_1m": 0.5},
    }  # fmt: skip
    text = exposition([server], [], {"f": {"requests": 1}}, (10,), "1")
    assert 'openmanager_host_load_1m{server="web-01",role="a\\"b\\\\c\\nd"} 0.5\n' in text
    assert checked(text) == ""


def test_every_metric_has_a_name_of_its_own_with_its_unit() -> None:
    server = {
        "id": "a", "status": "healthy", "seen": 0, "judged": None, "failure": None, "anomaly": None, "confidence": 0,
        "metrics": {metric.key: 1 for metric in METRICS},
    }  # fmt: skip
    text = exposition([server], [], {}, (10,), "1")
    names = [line.split("{")[0] for line in text.splitlines() if line.startswith("openmanager_host_")]
    assert len(set(names)) == len(METRICS)
    assert checked(text) == ""


def test_a_tick_counts_as_its_own_function(stores_env: dict[str, str]) -> None:
    from functions.tick.handler import handler as tick

    tick({}, Context())
    metering.write()
    assert of(read(scraped()), "invocations_total", function="tick") == 1


def test_the_dashboard_for_grafana_asks_only_what_is_there() -> None:
    """Each metric and each label of its queries is one that a scrape has."""
    dashboard = json.loads((Path(__file__).parents[2] / "infra/grafana/openmanager.json").read_text())
    (server,) = [v for v in dashboard["templating"]["list"] if v["name"] == "server"]
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) == len({panel["title"] for panel in dashboard["panels"]}) > 10
    whole = {
        "id": "a", "role": "web", "status": "healthy", "seen": 1, "judged": 1, "failure": {"probability": 0.5},
        "anomaly": {"score": 1.0, "anomalous": False}, "confidence": 1, "metrics": {m.key: 1 for m in METRICS},
    }  # fmt: skip
    counted = {"f": dict.fromkeys(meter.QUANTITIES, 1)}
    samples = read(exposition([whole], [{"severity": "critical"}], counted, meter.BUCKETS_MS, "1"))
    known = {name: {label for n, pairs in samples if n == name for label, _ in pairs} for name, _ in samples}
    for query in (*queries, server["query"]["query"]):
        names = re.findall(r"openmanager_\w+", query)
        assert names, query
        for name in names:
            assert name in known, query
        for group in re.findall(r"by \(([^)]*)\)", query):
            assert {label.strip() for label in group.split(",")} <= set.union(*(known[name] for name in names)), query
        for inside in re.findall(r"(openmanager_\w+)\{([^}]*)\}", query):
            assert set(re.findall(r"(\w+)=", inside[1])) <= known[inside[0]], query
