from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mobilenet_tf.cli import options
from mobilenet_tf.cli.main import run_command
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.zoo.shelf import find_tflite


def export(*arguments: object) -> int:
    return run_command(["export-tflite", *map(str, arguments)])


@pytest.mark.slow
def test_a_run_made_by_another_version(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = finished_run / "train" / "result.json"
    content = json.loads(file.read_text())
    content["versions"]["mobilenet_tf"] = "0.0.7"
    file.write_text(json.dumps(content))
    assert export(finished_run, "--overwrite") == 1
    said = capsys.readouterr().err
    assert str(file) in said
    assert "written by mobilenet-tf 0.0.7" in said
    assert RunFolder(finished_run).is_finished("export")


@pytest.mark.slow
def test_a_recipe_made_by_another_version(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = finished_run / "recipe.json"
    content = json.loads(file.read_text()) | {"future": {"key": 1}}
    file.write_text(json.dumps(content))
    assert export(finished_run) == 1
    said = capsys.readouterr().err
    assert "'future.key'" in said
    assert "another version" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--quantization", "int8"], "export.quantizations"),
        (["--calibration-count", "0"], "export.calibration_count"),
        (["--quantization", "float32", "--quantization", "float32"], "export.quantizations"),
        (["--quantization", "ptq", "--quantization", "int8_ptq"], "export.quantizations"),
    ],
)
def test_a_wrong_option_is_named(
    arguments: list[str], named: str, finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(finished_run, *arguments) == 2
    assert named in capsys.readouterr().err
    assert RunFolder(finished_run).load_recipe().export.calibration_count == 32


def test_short_names_stand_for_the_int8_quantizations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, object]] = []
    monkeypatch.setattr(options, "run_verb", lambda *given, **_: seen.append(given[2]))
    names = ("float16", "ptq", "qat")
    words = [word for name in names for word in ("--quantization", name)]
    assert export(tmp_path, *words, "--probabilities") == 0
    assert export(tmp_path) == 0
    quantizations = ("float16", "int8_ptq", "int8_qat")
    assert seen == [{"export.quantizations": quantizations, "export.logits": False}, {}]


@pytest.mark.slow
def test_a_run_without_qat_gives_what_it_can_and_says_what_not(
    finished_run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(finished_run / "qat")
    shutil.rmtree(finished_run / "export")
    assert export(finished_run, "--quantization", "int8_qat") == 2
    assert "run mtf qat, or export int8_ptq" in capfd.readouterr().err
    asked = ["--quantization", "ptq", "--quantization", "qat", "--license", "CC0-1.0"]
    assert export(finished_run, *asked, "--logits", "--json") == 0
    said = capfd.readouterr()
    result = json.loads(said.out)
    assert "int8_qat left out" in said.err
    assert result["inputs"].keys() == {"train"}
    (file,) = result["metrics"]["files"]
    assert (file["file"], file["io_type"]) == ("v1_005_r32_b2_int8_ptq.tflite", "int8")
    (twin,) = file["twins"]
    assert (twin["file"], twin["io_type"]) == ("v1_005_r32_b2_int8_ptq_uint8.tflite", "uint8")
    for each in (file, twin):
        assert result["files"][each["file"]]["size_bytes"] == each["size_bytes"]
    assert file["parity"]["count"] == 64
    assert 16 < result["metrics"]["calibration_count"] <= 32  # outliers are left out
    assert find_tflite(finished_run) == finished_run / "export" / file["file"]
    classifier = Classifier.load(finished_run / "export" / twin["file"])
    assert classifier.input_type == "uint8"
    assert (classifier.info.output, classifier.info.license) == ("logits", "CC0-1.0")
    scores = classifier.predict(np.zeros((1, 32, 32, 3), np.uint8))
    assert scores.shape == (1, 10)

    assert run_command(["benchmark", str(finished_run), "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)["metrics"]["rows"]
    assert [(row["format"], row["quantization"]) for row in rows] == [
        ("keras", "float32"),
        ("tflite", "int8_ptq"),
    ]
    assert rows[1]["loss"] > 0
