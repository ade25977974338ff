from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mobilenet_tf.cli.main import run_command

pytestmark = pytest.mark.slow  # a whole run comes first


def test_a_report_is_written_again_without_tensorflow(finished_run: Path) -> None:
    shutil.rmtree(finished_run / "report")
    code = (
        "import sys; from mobilenet_tf.cli.main import run_command;"
        f" code = run_command(['report', {str(finished_run)!r}, '--json']);"
        " print('loaded', *sorted(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stage"] == "report"
    train = json.loads((finished_run / "train" / "result.json").read_text())
    report = json.loads((finished_run / "report" / "report.json").read_text())
    assert report["command"] == train["command"]  # of the run, not the report's own
    loaded = set(done.stderr.split("loaded ", 1)[1].split())
    assert loaded.isdisjoint({"tensorflow", "tf_keras", "keras", "ai_edge_litert"})
    assert {p.name for p in (finished_run / "report").iterdir()} == {
        "report.html",
        "report.md",
        "report.json",
        "result.json",
    }


def test_a_run_without_figures_names_the_command(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(finished_run / "benchmark")
    assert run_command(["report", str(finished_run), "--overwrite"]) == 2
    said = capsys.readouterr().err
    assert "report needs benchmark, which has not been run" in said
    assert f"mtf benchmark {finished_run}" in said


def test_a_finished_report_stays(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", str(finished_run)]) == 0
    said = capsys.readouterr().out
    assert "report: up to date" in said
    assert "report.html" in said


def test_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", str(tmp_path)]) == 2
    assert "is not the folder of a run" in capsys.readouterr().err
