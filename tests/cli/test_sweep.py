from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mobilenet_tf.cli.main import run_command

Capture = pytest.CaptureFixture[str]
MANY = ",".join(str(n) for n in range(1, 101))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "nothing to try"),
        (["--alpha", ""], "no value"),
        (["--set", f"seed={MANY}"], "100 trials"),
        (["--set", f"seed={MANY}", "--alpha", MANY], "model.alpha is 2"),
        (["--model", "alexnet", "--set", "model.squeeze_excitation=on"], "all 1 trials"),
        (["--max-kilobytes", "0"], "--max-kilobytes"),
        (["--max-kilobytes", "1"], "the nearest"),
        (["--within", "soon"], "--within"),
        (["--within", "20s"], "no time for any"),
        (["--max-latency-ms", "1", "--latency-from", "phone.csv"], "phone.csv"),
        (["--alpha", "0.5", "--on", "spark"], "ray://HOST:PORT"),
        (["--workers", "0"], "--workers"),
        (["no_such_recipe", "--alpha", "0.5"], "no recipe"),
    ],
)
def test_what_cannot_be_swept_leaves_no_folder(
    arguments: list[str], word: str, tmp_path: Path, capsys: Capture, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["sweep", *arguments]) == 2
    said = capsys.readouterr().err
    assert word in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_grid_from_end_to_end_twice(
    tmp_path: Path, tiny_options: list[str], capfd: Capture, trapped: Any, monkeypatch
) -> None:
    monkeypatch.chdir(trapped.folder)  # of which trials execute nothing
    out = tmp_path / "sweep"
    command = ["sweep", *tiny_options, "--set", "model.alpha=0.05,0.1", "--out", str(out), "--json"]
    command += ["--set", "model.squeeze_excitation=paper,on", "--set", "train.epochs=1"]
    command += ["--set", "export.quantizations=['float32', 'int8_ptq']", "--set", "qat.epochs=0"]
    assert run_command(command) == 0
    said = capfd.readouterr()
    rows = json.loads(said.out)
    assert [row["alpha"] for row in rows] == [0.05, 0.1]
    assert said.err.count("refused: ") == 2
    assert "2 trials" in said.err
    page = (out / "pareto.html").read_text("utf-8")
    assert all(f'href="{row["run"]}/report/report.html"' in page for row in rows)
    before = {p: p.stat().st_mtime_ns for p in out.glob("*/*/result.json")}
    assert run_command(command) == 0
    assert "2 of them finished" in capfd.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in out.glob("*/*/result.json")} == before
    assert len(before) == 8
    assert trapped.executed() == ""
