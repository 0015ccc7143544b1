"""`evaluate` from the command line to what it prints and writes."""

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openmanager import evaluation
from openmanager.catalog import METRIC, MODEL_METRICS
from openmanager.cli.main import main
from openmanager.sources.table import moment

from tests.models.shipped import shipped_models as shipped_models

ROOT = Path(__file__).resolve().parents[2]
START = 1_700_000_040
ROWS = 600
INCIDENT = slice(500, 530)
pytestmark = pytest.mark.usefixtures("shipped_models")


def busy_server() -> tuple[np.ndarray, np.ndarray]:
    """(metrics (ROWS, 20), labels): ordinary minutes, then half an hour of a full disk queue and processor."""
    x = np.round(40 + np.random.default_rng(1).normal(0, 1, (ROWS, 20)), 3)
    label = np.zeros(ROWS, int)
    label[INCIDENT] = 1
    for key in ("disk_queue", "cpu_utilization"):
        x[INCIDENT, MODEL_METRICS.index(key)] += 50
    return x, label


def write(path: Path, x: np.ndarray, label: np.ndarray | None = None, step_s: int = 60) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *MODEL_METRICS, *([] if label is None else ["label"])])
        for i, row in enumerate(x):
            writer.writerow([START + step_s * i, *row, *([] if label is None else [label[i]])])
    return path


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    return write(tmp_path / "web-01.csv", *busy_server())


def summary(capsys: pytest.CaptureFixture[str], *argv: Any) -> dict[str, Any]:
    assert main(["evaluate", *map(str, argv), "--json"]) == 0
    parsed: dict[str, Any] = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    return parsed


def test_an_incident_is_found_and_told_apart(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    s = summary(capsys, labelled)
    assert (s["rows"], s["rows_scored"], s["rows_judged"], s["lines"]) == (ROWS, ROWS - 1, ROWS - 241, ROWS)
    assert s["from"] == "2023-11-14T22:14:00Z"
    assert (s["metrics_known"], s["metrics_missing"], s["columns_ignored"]) == (list(MODEL_METRICS), [], [])
    assert (s["baseline_short"], s["percent_as_shares"]) == (False, False)
    assert s["anomaly"]["alarms"] >= 1
    assert {"disk_queue", "cpu_utilization"} <= set(s["anomaly"]["contributions"])
    assert moment(1000 * START + 500 * 60_000) <= s["anomaly"]["highest"]["time"] <= moment(1000 * START + 530 * 60_000)
    assert (s["labels"]["incidents"], s["labels"]["anomaly"]["incidents_with_alarm"]) == (1, 1)
    assert s["labels"]["anomaly"]["auc_pr"] > 0.8 > 0.2 > s["labels"]["anomaly"]["chance_auc_pr"]
    assert s["labels"]["anomaly"]["chance_auc_pr"] == round(30 / (ROWS - 241), 4)
    assert s["labels"]["failure"]["chance_auc_pr"] == round(60 / (ROWS - 241), 4)
    assert s["forecasts"].keys() == {"cpu_utilization", "memory_used_effective", "load_5m"}


def test_the_scores_file_holds_what_evaluation_says(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary(capsys, labelled, "--out", tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    x, _ = busy_server()
    scores, chances = evaluation.anomaly_scores([], x), evaluation.failure_probabilities([], x)
    assert [row["score"] for row in rows] == ["", *(f"{s:.4g}" for s in scores.score[1:])]
    assert [row["threshold"] for row in rows[1:]] == [f"{s:.4g}" for s in scores.threshold[1:]]
    assert [row["anomalous"] == "1" for row in rows] == scores.anomalous.tolist()
    assert [row["failure_probability"] for row in rows[1:]] == [f"{p:.4g}" for p in chances[1:]]
    assert rows[0]["time"] == "2023-11-14T22:14:00Z"
    assert rows[515]["contributions"].split("=")[0] in ("disk_queue", "cpu_utilization")


def test_what_is_printed_names_the_figures(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(labelled)]) == 0
    printed = capsys.readouterr().out
    for part in ("600 lines", "20 of 20 model metrics", "alarms", "disk_queue", "failure   mean", "no model", "Brier"):
        assert part in printed
    assert "forecast  load_5m: mean error of the next value" in printed


def test_finer_rows_become_minutes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, label = busy_server()
    fine = write(tmp_path / "fine.csv", np.repeat(x, 4, axis=0), np.repeat(label, 4), step_s=15)
    coarse = write(tmp_path / "coarse.csv", x, label)
    of_fine, of_coarse = summary(capsys, fine), summary(capsys, coarse)
    assert (of_fine.pop("lines"), of_coarse.pop("lines")) == (4 * ROWS, ROWS)
    assert {**of_fine, "file": ""} == {**of_coarse, "file": ""}


def test_coarser_rows_keep_their_distance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, label = busy_server()
    s = summary(capsys, write(tmp_path / "five.csv", x, label, step_s=300))
    assert (s["step_s"], s["rows"]) == (300, ROWS)
    # 30 minutes are six steps of five:
    assert s["labels"]["failure"]["chance_auc_pr"] == round(36 / (ROWS - 241), 4)


def test_shares_are_told_by_their_values_and_may_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, label = busy_server()
    percent = [i for i, key in enumerate(MODEL_METRICS) if METRIC[key].high]
    x[:, percent] = np.minimum(x[:, percent], 100) / 100
    path = write(tmp_path / "shares.csv", x, label)
    told, named, denied = (summary(capsys, path, *extra) for extra in ([], ["--shares"], ["--no-shares"]))
    assert told["percent_as_shares"]
    assert told == named
    assert denied["anomaly"] != told["anomaly"]


def test_rows_before_the_beginning_only_teach(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    s = summary(capsys, labelled, "--from", moment(1000 * (START + 60 * 540)))
    assert s["rows_judged"] == 60
    assert s["labels"] == "all rows summed up are alike: nothing to tell apart"


def test_a_short_file_says_that_it_says_little(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "short.csv", busy_server()[0][:30])
    assert summary(capsys, path)["baseline_short"]
    assert main(["evaluate", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "below 240 rows" in printed
    assert "no forecast metric with 120 rows" in printed


def test_one_row_has_no_past_to_be_judged_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(write(tmp_path / "one.csv", busy_server()[0][:1]))]) == 0
    assert "nothing to sum up" in capsys.readouterr().out


def test_a_damaged_model_is_said_and_is_exit_code_1(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENMANAGER_MODELS", str(tmp_path / "nowhere"))
    assert main(["evaluate", str(labelled)]) == 1
    assert "manifest.json: No such file" in capsys.readouterr().err


def test_a_scores_file_that_cannot_be_written_is_named(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(labelled), "--out", str(labelled / "x" / "scores.csv")]) == 1
    assert "scores.csv: cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["evaluate"], ["evaluate", "x.csv", "--step", "0"], ["fly"]])
def test_a_wrong_command_line_is_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(argv)
    assert left.value.code == 2
    assert "usage:" in capsys.readouterr().err


HEAVY = ("fastapi", "psycopg", "pydantic", "httpx", "google.protobuf", "cramjam")


@pytest.mark.parametrize(("argv", "more"), [(["--help"], ("numpy", "tflite_runtime", "ai_edge_litert")), (["RUN"], ())])
def test_nothing_heavy_is_imported_that_is_not_needed(labelled: Path, argv: list[str], more: tuple[str, ...]) -> None:
    argv = ["evaluate", *(str(labelled) if part == "RUN" else part for part in argv)]
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'layers/core/python')!r}]\n"
        "from openmanager.cli.main import main\n"
        f"try: main({argv!r})\n"
        "except SystemExit: pass\n"
        f"print('LOADED', *(m for m in {HEAVY + more!r} if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("LOADED\n")


@pytest.mark.parametrize(
    "argv",
    [["evaluate", "web-01.csv", "--json"], ["doctor", "--json"], ["status"], ["up", "--no-agent"], ["mcp"]],
)
def test_run_py_hands_the_command_over(monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> None:
    spec = importlib.util.spec_from_file_location("run_py", ROOT / "run.py")
    assert spec is not None
    assert spec.loader is not None
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)

    class Become(Exception):
        pass

    def become(_: object, *argv: str) -> None:
        raise Become(*argv)

    # Both are put back by that, which run.py changes for the program that it becomes.
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(run.Venv, "ready", lambda _: None)
    monkeypatch.setattr(run.Venv, "become", become)
    with pytest.raises(Become) as called:
        run.main(*argv)
    assert list(called.value.args) == ["-m", "infra.command", *argv]
