from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mobilenet_tf.cli.main import run_command


@pytest.mark.slow
def test_the_rows_of_a_finished_run_add_up(finished_run: Path) -> None:
    metrics = json.loads((finished_run / "benchmark" / "result.json").read_text())["metrics"]
    rows = metrics["rows"]
    assert [(row["format"], row["quantization"]) for row in rows] == [
        ("keras", "float32"),
        ("keras", "int8_qat"),
        ("tflite", "float32"),
        ("tflite", "float16"),
        ("tflite", "dynamic_range"),
        ("tflite", "int8_ptq"),
        ("tflite", "int8_qat"),
    ]
    for row in rows:
        confusion = np.array(row["confusion"])
        assert confusion.sum() == metrics["test_count"] == 128
        assert row["top1"] == pytest.approx(np.trace(confusion) / 128)
        assert row["top5"] >= row["top1"]
        assert row["per_class"] == pytest.approx(list(confusion.diagonal() / confusion.sum(1)))
        assert row["size_bytes"] == (finished_run / row["file"]).stat().st_size
        assert 0 < row["latency_median_ms"] <= row["latency_p90_ms"]
        assert row["parameters"] == rows[0]["parameters"]
        assert row["macs"] == rows[0]["macs"]
        assert (row["peak_memory_bytes"] is None) == (row["format"] == "keras")
    assert rows[2]["confusion"] == rows[0]["confusion"]  # float32 file and its model agree


@pytest.mark.slow
def test_accuracy_over_views_stands_beside_the_plain_one(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = finished_run / "benchmark" / "result.json"
    plain = json.loads(result.read_text())["metrics"]["rows"]
    views = ["--test-time-augmentation", "flip", "--test-time-augmentation", "rotate"]
    assert run_command(["benchmark", str(finished_run), *views, "--overwrite"]) == 0
    rows = json.loads(result.read_text())["metrics"]["rows"]
    for before, row in zip(plain, rows, strict=True):
        assert (row["top1"], row["confusion"]) == (before["top1"], before["confusion"])
        over = row["test_time_augmentation"]
        assert (over["views"], over["view_count"]) == (["flip", "rotate"], 8)
        assert over["loss"] != row["loss"]
        assert 0 < over["top1"] <= over["top5"] <= 1
    assert run_command(["report", str(finished_run), "--overwrite"]) == 0
    page = (finished_run / "report" / "report.md").read_text()
    assert "top-1 % with test-time augmentation" in page
    assert f" {100 * rows[-1]['test_time_augmentation']['top1']:.2f} |" in page
    capsys.readouterr()
    assert run_command(["compare", str(finished_run)]) == 0
    assert "TTA %" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_without_files_names_the_command(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(finished_run / "export")
    assert run_command(["benchmark", str(finished_run), "--overwrite"]) == 2
    said = capsys.readouterr().err
    assert "benchmark needs export, which has not been run" in said
    assert f"mtf export-tflite {finished_run}" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--threads", "0", "benchmark.threads is 0"),
        ("--threads", "many", "'many'"),
        ("--latency-runs", "0", "benchmark.latency_runs is 0"),
    ],
)
def test_a_wrong_option_is_named(
    option: str, value: str, words: str, finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["benchmark", str(finished_run), option, value]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.slow
def test_a_damaged_file_is_not_measured(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = finished_run / "export" / "v1_005_r32_b2_int8_ptq.tflite"
    file.write_bytes(file.read_bytes()[:1000])
    assert run_command(["benchmark", str(finished_run), "--overwrite"]) == 1
    said = capsys.readouterr().err
    assert str(file) in said
    assert "is damaged" in said
