"""Loading a model: what is wrong with a file is said by name, and what is right is loaded once."""

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openmanager.errors import ModelUnavailable
from openmanager.inference import failure, runtime
from openmanager.settings import settings

SHIPPED = Path(__file__).resolve().parents[2] / "models"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the shipped models that this process is told to use."""
    for path in [*SHIPPED.glob("*.tflite"), SHIPPED / "manifest.json"]:
        shutil.copy(path, tmp_path)
    monkeypatch.setenv("OPENMANAGER_STAGE", "local")
    monkeypatch.setenv("OPENMANAGER_MODELS", str(tmp_path))
    settings.cache_clear()
    runtime.unload()
    yield tmp_path
    settings.cache_clear()
    runtime.unload()


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest["models"])
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_model_is_loaded_once(folder: Path) -> None:
    assert runtime.model("anomaly") is runtime.model("anomaly")
    (folder / "anomaly.tflite").unlink()
    assert runtime.model("anomaly").run(np.zeros((1, 20), np.float32))[0].shape == (1, 20)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "forecast.tflite").unlink()
    with pytest.raises(ModelUnavailable, match=r"forecast\.tflite: No such file"):
        runtime.model("forecast")
    runtime.model("failure")


def test_a_missing_manifest_is_named(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(ModelUnavailable, match=r"manifest\.json: No such file"):
        runtime.model("failure")


UNREADABLE = (b"", b"[]", b"\xff\xfe\x00", b'{"schema": 1}', b'{"schema": 1, "models": {"failure": {"file": "f"}}}')


@pytest.mark.parametrize("content", UNREADABLE)
def test_an_unreadable_manifest_is_named(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(ModelUnavailable, match=r"manifest\.json: not a manifest of ours"):
        runtime.model("failure")


def test_a_manifest_of_another_schema_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema": 2}))
    with pytest.raises(ModelUnavailable, match=r"manifest\.json: its schema is 2, this version reads 1"):
        runtime.model("failure")


@pytest.mark.parametrize("value", ["2.5", None, True, [], float("nan"), [1.0, float("inf")], [[1.0]], {}])
def test_a_constant_that_is_no_finite_number_or_list_of_them_is_named(folder: Path, value: Any) -> None:
    edit(folder, lambda m: m["anomaly"]["constants"].update(error_clip=value))
    with pytest.raises(ModelUnavailable, match=r"manifest\.json: not a manifest of ours .*constant error_clip is"):
        runtime.model("anomaly")


def test_constants_may_be_numbers_and_lists_of_numbers(folder: Path) -> None:
    edit(folder, lambda m: m["anomaly"]["constants"].update(error_clip=20, weights=[1, 0.5]))
    constants = runtime.model("anomaly").constants
    assert (constants["error_clip"], constants["weights"]) == (20.0, (1.0, 0.5))


def test_a_constant_that_a_manifest_lacks_is_named_when_it_is_needed(folder: Path) -> None:
    edit(folder, lambda m: m["failure"]["constants"].pop("calibration_slope"))
    with pytest.raises(ModelUnavailable, match=r"manifest\.json: model failure has no constant named calibr"):
        failure.probability(np.ones((1, 5), np.float32))


def test_a_flipped_bit_is_found(folder: Path) -> None:
    content = bytearray((folder / "failure.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "failure.tflite").write_bytes(content)
    with pytest.raises(ModelUnavailable, match=r"failure\.tflite: damaged or replaced"):
        runtime.model("failure")


@pytest.mark.parametrize("name", ["failure", "anomaly", "forecast"])
@pytest.mark.parametrize("kept", [0, 1, 100, 3900])
def test_a_truncated_file_is_found_before_the_interpreter_reads_it(folder: Path, name: str, kept: int) -> None:
    path = folder / f"{name}.tflite"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelUnavailable, match=rf"{name}\.tflite: damaged or replaced"):
        runtime.model(name)


def test_a_folder_in_the_place_of_a_file_is_named(folder: Path) -> None:
    (folder / "failure.tflite").unlink()
    (folder / "failure.tflite").mkdir()
    with pytest.raises(ModelUnavailable, match=r"failure\.tflite: Is a directory"):
        runtime.model("failure")


def test_a_file_that_is_no_model_is_refused_even_with_a_matching_checksum(folder: Path) -> None:
    content = b"<html>not found</html>" * 100
    (folder / "failure.tflite").write_bytes(content)
    edit(folder, lambda m: m["failure"].update(sha256=hashlib.sha256(content).hexdigest()))
    with pytest.raises(ModelUnavailable, match=r"failure\.tflite: the interpreter refuses it"):
        runtime.model("failure")


def test_a_file_of_another_shape_is_refused(folder: Path) -> None:
    edit(folder, lambda m: m["anomaly"]["inputs"][0].update(width=38))
    with pytest.raises(ModelUnavailable, match=r"anomaly\.tflite: its tensors are .*20.*38"):
        runtime.model("anomaly")


def test_a_file_with_other_tensors_is_refused(folder: Path) -> None:
    edit(folder, lambda m: m["anomaly"].update(file="failure.tflite", sha256=m["failure"]["sha256"]))
    with pytest.raises(ModelUnavailable, match=r"failure\.tflite: its tensors are .*5.*20"):
        runtime.model("anomaly")


def fixed(shape: list[int], kind: type) -> list[dict[str, Any]]:
    return [{"name": "in", "index": 0, "shape_signature": np.array(shape, np.int32), "dtype": kind}]


@pytest.mark.parametrize(("shape", "kind"), [([1, 5], np.float32), ([-1, 5], np.int8), ([5], np.float32)])
def test_a_fixed_batch_another_type_or_another_rank_is_refused(shape: list[int], kind: type) -> None:
    expected = (runtime.Tensor("x", "in", 5),)
    assert runtime._indices(Path("m.tflite"), fixed([-1, 5], np.float32), expected) == [0]
    with pytest.raises(ModelUnavailable, match=r"m\.tflite: its tensors are"):
        runtime._indices(Path("m.tflite"), fixed(shape, kind), expected)


def test_the_folder_may_be_named_without_any_other_setting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENMANAGER_STAGE")
    settings.cache_clear()
    (folder / "failure.tflite").unlink()
    with pytest.raises(ModelUnavailable, match=r"failure\.tflite: No such file"):
        runtime.model("failure")
    monkeypatch.delenv("OPENMANAGER_MODELS")
    assert runtime.model("failure").entry.name == "failure"


def test_a_model_that_the_manifest_lacks_is_named(folder: Path) -> None:
    edit(folder, lambda m: m.pop("anomaly"))
    with pytest.raises(ModelUnavailable, match="has no model named anomaly"):
        runtime.model("anomaly")


def test_without_an_interpreter_the_reason_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "Interpreter", None)
    monkeypatch.setattr(runtime, "WHY_NOT", "no GLIBC_2.36")
    with pytest.raises(ModelUnavailable, match=r"failure\.tflite: neither .* can be used \(no GLIBC_2\.36\)"):
        runtime.model("failure")


@pytest.mark.usefixtures("folder")
def test_inputs_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"failure takes \[\(2, 5\)\], got \[\(2, 4\)\]"):
        runtime.model("failure").run(np.zeros((2, 4), np.float32))


@pytest.mark.usefixtures("folder")
def test_no_rows_give_no_rows() -> None:
    (out,) = runtime.model("anomaly").run(np.empty((0, 20), np.float32))
    assert out.shape == (0, 20)


@pytest.mark.usefixtures("folder")
def test_a_batch_is_resized_once_for_each_change_of_size(monkeypatch: pytest.MonkeyPatch) -> None:
    model = runtime.model("anomaly")
    sizes: list[int] = []
    resize = model._resize

    def noted(batch: int) -> None:
        sizes.append(batch)
        resize(batch)

    monkeypatch.setattr(model, "_resize", noted)
    for batch in (3, 3, 3, 7, 7, 3):
        model.run(np.zeros((batch, 20), np.float32))
    assert sizes == [3, 7, 3]


@pytest.mark.usefixtures("folder")
def test_threads_with_batches_of_their_own_get_their_own_answers() -> None:
    model = runtime.model("anomaly")
    rows = np.random.default_rng(0).normal(0, 0.2, (64, 20)).astype(np.float32)
    (expected,) = model.run(rows)
    wrong: list[int] = []

    def ask(batch: int) -> None:
        for at in range(0, 64, batch):
            (out,) = model.run(rows[at : at + batch])
            if not np.array_equal(out, expected[at : at + batch]):
                wrong.append(batch)

    threads = [threading.Thread(target=ask, args=(batch,)) for batch in (1, 3, 8, 16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["failure", "anomaly", "forecast"])
def test_a_row_gives_the_same_bits_alone_and_in_any_batch(name: str) -> None:
    model = runtime.model(name)
    rng = np.random.default_rng(1)
    rows = [rng.normal(0, 0.4, (131, t.width)).astype(np.float32) for t in model.entry.inputs]
    together = model.run(*rows)
    for batch in (1, 2, 3, 5, 8, 31, 64):
        parts = [model.run(*(r[at : at + batch] for r in rows)) for at in range(0, 131, batch)]
        for whole, pieces in zip(together, zip(*parts, strict=True), strict=True):
            assert np.array_equal(whole, np.concatenate(pieces))
