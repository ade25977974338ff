from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import msgspec
import pytest

from mobilenet_tf.cli.main import run_command
from mobilenet_tf.models.cost import count_costs
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.pipeline.comparison import describe_benchmark
from mobilenet_tf.recipe import Options
from mobilenet_tf.report.comparison import comparison_table
from mobilenet_tf.runs.folder import RunFolder

pytestmark = pytest.mark.slow  # a whole run comes first
Capture = pytest.CaptureFixture[str]


def edit_benchmark(run: Path, **changes: object) -> None:
    file = run / "benchmark" / "result.json"
    result = json.loads(file.read_text())
    result["metrics"]["chosen"] = "int8_qat"
    for row in result["metrics"]["rows"]:
        if (row["format"], row["quantization"]) == ("tflite", "int8_qat"):
            row.update(changes)
    file.write_text(json.dumps(result))


def test_runs_stand_side_by_side(finished_run: Path, tmp_path: Path, capsys: Capture) -> None:
    edit_benchmark(finished_run)
    other = Path(shutil.copytree(finished_run, tmp_path / "other"))
    edit_benchmark(
        other,
        top1=0.5,
        test_time_augmentation={
            "views": ["flip"],
            "view_count": 2,
            "top1": 0.625,
            "top5": None,
            "loss": 1.0,
        },
    )
    assert run_command(["compare", str(finished_run), str(other), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in rows] == ["run", "other"]
    cost = count_costs(
        make_variant(
            "mobilenet_v1",
            alpha=0.05,
            resolution_px=32,
            classes=10,
            stride_plan="cifar",
            options=Options(block_count=2),
        )
    )
    metrics = json.loads((finished_run / "benchmark" / "result.json").read_text())["metrics"]
    file = metrics["rows"][-1]
    first = rows[0]
    assert (first["model"], first["alpha"]) == ("mobilenet_v1", 0.05)
    assert (first["parameters"], first["macs"]) == (cost.parameters, cost.macs)
    assert first["float_top1"] == metrics["rows"][0]["top1"]
    assert first["int8_top1"] == file["top1"]
    assert first["int8_size_bytes"] == file["size_bytes"]
    assert first["int8_latency_median_ms"] == file["latency_median_ms"]
    assert first["int8_augmented_top1"] is None
    times = [
        json.loads((finished_run / stage / "result.json").read_text())["wall_time_s"]
        for stage in ("train", "qat")
    ]
    assert first["training_time_s"] == pytest.approx(sum(times), abs=0.1)
    assert run_command(["compare", str(finished_run), str(other)]) == 0
    text = capsys.readouterr().out
    assert "TTA %" in text
    assert "62.50" in text
    assert "synthetic, 128 test images. int8 after QAT." in text
    assert run_command(["compare", str(finished_run), "--markdown"]) == 0
    markdown = capsys.readouterr().out
    assert markdown.startswith("| run ")
    assert "augmentation" not in markdown


def test_runs_that_saw_other_images_or_another_seed_are_told_apart(finished_run: Path) -> None:
    row = describe_benchmark(RunFolder(finished_run))
    alike = comparison_table([row, msgspec.structs.replace(row, run="again")]).note
    assert "Training images differ" not in alike
    assert "Seeds" not in alike
    count = row.train_count
    other = msgspec.structs.replace(row, run="all", train_count=count + 64, seed=7)
    note = comparison_table([row, other]).note
    assert f"Training images differ ({count:,}: run; {count + 64:,}: all)." in note
    assert f"Seeds {row.seed}, 7." in note


def test_the_page_holds_the_table_and_asks_for_nothing(
    finished_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    edit_benchmark(finished_run)
    other = Path(shutil.copytree(finished_run, tmp_path / "a <b> run"))
    page = tmp_path / "pages" / "comparison.html"
    assert run_command(["compare", str(finished_run), str(other), "--html", str(page)]) == 0
    text, html = capsys.readouterr().out, page.read_text("utf-8")
    assert "<h1>2 runs, side by side</h1>" in html
    assert 'report/report.html">a &lt;b&gt; run</a></th>' in html
    for cell in text.splitlines()[2].split():  # the figures that the terminal shows
        assert cell in html
    assert "128 test images. int8 after QAT." in html
    assert "default-src &#39;none&#39;" in html
    assert "src=" not in html
    assert not re.search(r'href="(?!#|\.\./)', html)  # into the page, and to reports beside it
    assert run_command(["compare", str(finished_run), "--html", str(tmp_path)]) == 2
    assert "is a directory" in capsys.readouterr().err


def test_other_files_and_data_are_said(finished_run: Path, tmp_path: Path, capsys: Capture) -> None:
    edit_benchmark(finished_run)
    other = Path(shutil.copytree(finished_run, tmp_path / "other"))
    edit_benchmark(other, quantization="float16")
    recipe = json.loads((other / "recipe.json").read_text())
    recipe["data"]["name"] = "cifar10"
    (other / "recipe.json").write_text(json.dumps(recipe))
    assert run_command(["compare", str(finished_run), str(other)]) == 0
    text = capsys.readouterr().out
    assert "without it (calibrated only): other" in text
    assert "Different data, so accuracies do not compare" in text


def test_what_is_not_finished_is_left_out_with_a_warning(
    finished_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    unfinished = Path(shutil.copytree(finished_run, tmp_path / "unfinished"))
    shutil.rmtree(unfinished / "benchmark")
    assert run_command(["compare", str(unfinished), str(finished_run), "--json"]) == 0
    said = capsys.readouterr()
    assert [row["run"] for row in json.loads(said.out)] == [finished_run.name]
    assert f"mtf benchmark {unfinished}" in said.err
    assert run_command(["compare", str(unfinished), str(tmp_path)]) == 2
    assert run_command(["compare"]) == 2


def test_a_benchmark_that_is_out_of_date_is_left_out(finished_run: Path, capsys: Capture) -> None:
    result = finished_run / "qat" / "result.json"
    result.write_text(result.read_text().replace('"wall_time_s": ', '"wall_time_s": 1'))
    assert run_command(["compare", str(finished_run)]) == 2
    assert f"mtf benchmark {finished_run}" in capsys.readouterr().err
