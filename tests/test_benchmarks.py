"""The benchmarks of the documentation can be called, and print what it shows."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if "@click." in path.read_text())


def load(script: Path) -> dict[str, Any]:
    """Return what is in a script, whose neighbours it may import."""
    return runpy.run_path(str(script))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_explains_itself(script: Path) -> None:
    if script.stem == "ptq":
        pytest.importorskip("ai_edge_quantizer", reason="needs ai-edge-quantizer")
    done = CliRunner().invoke(load(script)["main"], ["--help"])
    assert done.exit_code == 0, done.output
    assert "Usage:" in done.output


def test_the_table_of_the_ablation_shows_every_seed() -> None:
    format_table = load(FOLDER / "ablation.py")["format_table"]
    rows = [
        {"part": part, "seed": seed, "changes": changes, "validation_top1": top1}
        | {"fit_time_s": 61.0, "commit": commit}
        for part, changes, seed, top1, commit in (
            ("base", [], 1, 0.75, "c0ffee"),
            ("base", [], 2, 0.76, "c0ffee"),
            ("cosine", ["train.schedule=cosine"], 1, 0.74, "c0ffee"),
            ("cosine", ["train.schedule=cosine"], 2, 0.78, "decade"),
            ("no_flip", ["augmentation.flip=false"], 2, 0.77, "decade"),
        )
    ]
    assert format_table(rows).splitlines()[2:] == [
        "| `base` | none | 1, 2 | 75.00, 76.00 % |  | 1 min 01 s |",
        "| `cosine` | `train.schedule=cosine` | 1, 2 | 74.00, 78.00 % | +0.50 (-1.00, +2.00)"
        " | 1 min 01 s |",
        "| `no_flip` | `augmentation.flip=false` | 2 | 77.00 % | +1.00 | 1 min 01 s |",
        "",
        "Commits: c0ffee, decade.",
    ]
