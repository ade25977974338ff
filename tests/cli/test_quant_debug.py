from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mobilenet_tf.cli.main import run_command
from mobilenet_tf.runs.results import record_files
from mobilenet_tf.tflite.audit import audit

STAGES = ("train", "qat", "export", "benchmark", "report")
PTQ = "v1_005_r32_b2_int8_ptq"
QAT = "v1_005_r32_b2_int8_qat"


@pytest.mark.slow
def test_a_finished_run_is_explained_and_left_as_it_is(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {stage: record_files(finished_run / stage, leave_out=()) for stage in STAGES}
    recipe = (finished_run / "recipe.json").read_bytes()
    assert run_command(["quant-debug", str(finished_run), "--images", "20"]) == 0
    said = capsys.readouterr().out
    assert f"{QAT}.tflite, 7 layers, 20 validation images" in said
    assert before == {stage: record_files(finished_run / stage, leave_out=()) for stage in STAGES}
    assert (finished_run / "recipe.json").read_bytes() == recipe

    folder = finished_run / "quant-debug"
    assert sorted(path.name for path in folder.iterdir()) == ["int8_qat.json", "int8_qat.svg"]
    found = json.loads((folder / "int8_qat.json").read_text())
    assert found["compared_count"] == 20
    assert found["accuracy_count"] == 64
    assert len(found["layers"]) == 7
    assert said.splitlines()[2] == found["advice"], "the verdict comes first"
    assert "Fake-quantized model against the file, 20 images" in said
    for kernels in ("xnnpack", "reference"):
        names = [cause["name"] for cause in found["parity"][kernels]["causes"]]
        assert names == ["as trained", "kernels", "biases", "rounding", "pooling", "softmax"]
        assert len(found["parity"][kernels]["layers"]) == 7
    svg = ElementTree.parse(folder / "int8_qat.svg").getroot()  # noqa: S314  # our own
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    rows = [text for text in texts if text in {layer["name"] for layer in found["layers"]}]
    assert rows[:3] == ["conv1", "conv_dw_1", "conv_pw_1"]  # the network's order
    assert len(rows) == 7


@pytest.mark.slow
def test_layers_in_float_are_written_and_measured(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["quant-debug", str(finished_run), "--quantization", "int8_ptq", "--images", "8"]
    assert run_command([*command, "--keep-float", "conv1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == f"export/{PTQ}.tflite"
    assert found["parity"] is None, "no fake-quantized model stands beside it"
    kept = found["keep_float"]
    assert kept["layers"] == ["conv1"]
    file = finished_run / kept["file"]
    assert file.name == f"{PTQ}_float_conv1.tflite"
    assert kept["size_bytes"] == file.stat().st_size
    assert kept["added_bytes"] == kept["size_bytes"] - (
        (finished_run / found["file"]).stat().st_size
    )
    assert kept["latency_median_ms"] > 0
    assert 0 <= kept["top1"] <= 1
    assert "conv1/kernel" in {tensor.name for tensor in audit(file).float_tensors}


@pytest.mark.slow
def test_an_unknown_layer_is_refused_with_the_nearest(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["quant-debug", str(finished_run), "--keep-float", "conv_dw1"]) == 2
    said = capsys.readouterr().err
    assert "--keep-float 'conv_dw1' is no layer of the file" in said
    assert "did you mean 'conv_dw_1'?" in said
    assert not (finished_run / "quant-debug").exists()


@pytest.mark.slow
def test_a_run_without_the_file_says_how_to_get_it(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = ["export-tflite", str(finished_run), "--overwrite", "--quantization", "float16"]
    assert run_command(export) == 0
    capsys.readouterr()
    assert run_command(["quant-debug", str(finished_run)]) == 2
    said = capsys.readouterr().err
    assert "has no int8 file (it has float16)" in said
    assert f"mtf export-tflite {finished_run} --overwrite --quantization int8_ptq" in said

    shutil.rmtree(finished_run / "export")
    assert run_command(["quant-debug", str(finished_run)]) == 2
    said = capsys.readouterr().err
    assert "quant-debug needs export, which has not been run" in said


@pytest.mark.slow
def test_a_damaged_run_is_refused(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = finished_run / "export" / f"{QAT}.tflite"
    file.write_bytes(file.read_bytes()[:2000])
    assert run_command(["quant-debug", str(finished_run)]) == 1
    said = capsys.readouterr().err
    assert str(file) in said
    assert "is damaged" in said


def test_a_folder_that_is_no_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["quant-debug", str(tmp_path)]) == 2
    assert "is not the folder of a run" in capsys.readouterr().err
    assert run_command(["quant-debug", str(tmp_path), "--images", "0"]) == 2
