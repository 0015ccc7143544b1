"""A replay says what rounds would have said, and what would have paged."""

import json
from pathlib import Path

import numpy as np
import pytest
from openmanager.alerts.rules import Rule
from openmanager.catalog import COLUMN, METRICS
from openmanager.cli.main import FAILED, main
from openmanager.watch.config import Config
from openmanager.watch.replay import Past, replay

FIRST = 29_400_000


def past(server: str, cpu: list[float | None], role: str = "") -> Past:
    values = np.full((len(cpu), len(METRICS)), np.nan)
    for i, share in enumerate(cpu):
        if share is not None:
            values[i, COLUMN["cpu_utilization"]] = share
            values[i, COLUMN["load_1m"]] = share / 50
    return Past(server, FIRST, values, role)


def test_it_pages_as_the_rules_say_and_settles_the_ledger() -> None:
    found = replay([past("web-01", [10.0] * 30 + [95.0] * 20 + [10.0] * 40)])
    cpu = [n for n in found.notices if n["rule"] == "cpu"]
    assert [(n["event"], n["at"] // 60 - FIRST) for n in cpu] == [("firing", 35), ("resolved", 55)]
    whole = found.as_dict()
    assert whole["record"]["incidents"] == 1
    assert whole["minutes"] == 90
    assert whole["cost"]["redis_commands"] == 90 * 6 + 18 * 18
    assert replay([]).as_dict()["fired"] == 0


def test_with_other_rules_it_says_what_those_would_have_done() -> None:
    rule = Rule("warm", "threshold", "cpu_utilization", warning=50, for_min=0, keep_firing_min=0)
    found = replay([past("web-01", [10.0, 60.0, 10.0, 60.0, 10.0])], Config(rules=(rule,)))
    assert [n["event"] for n in found.notices] == ["firing", "resolved"] * 2


def test_a_silent_database_explains_its_dependents() -> None:
    fleet = [
        past("db-01", [10.0] * 10 + [None] * 20, "database"),
        past("api-01", [10.0] * 20 + [95.0] * 10, "api"),
    ]
    rules = tuple(r for r in Config().rules if r.id in ("cpu", "offline"))
    assert {(n["server"], n["rule"]) for n in replay(fleet, Config(rules=rules)).notices} == {("db-01", "offline")}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    lines = ["time,cpu_utilization"]
    lines += [f"{1_764_000_000 + 60 * i},{95 if 30 <= i < 50 else 10}" for i in range(90)]
    file = tmp_path / "web-01.csv"
    file.write_text("\n".join(lines))
    return file


def test_the_command_prints_pages_the_record_and_the_cost(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", f"{recording}=web"]) == 0
    said = capsys.readouterr().out
    assert "firing     critical web-01 cpu 95 (limit 90)" in said
    assert "Redis commands" in said
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps([{"id": "hot", "kind": "threshold", "metric": "cpu_utilization", "warning": 99}]))
    assert main(["replay", str(recording), "--rules", str(rules), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fired"] == 0


def test_the_command_names_what_it_cannot_use(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text("[{}]")
    assert main(["replay", str(recording), "--rules", str(rules)]) == FAILED
    assert "id: is missing" in capsys.readouterr().err
    assert main(["replay", str(recording), str(recording)]) == FAILED
    assert "two are named web-01" in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "none.csv")]) == FAILED
    assert "none.csv" in capsys.readouterr().err
