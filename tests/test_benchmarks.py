"""The benchmarks of the documentation can be called, and print what it shows."""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from mobilenet_tf.zoo.shelf import load_cards

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


STAND_IN = """#!{python}
import json, sys
if sys.argv[1] == "-c":
    sys.exit(0)  # it has torch, it says
request = json.loads(sys.stdin.readline())
count = 0
for row in request["layers"]:
    kind = row.pop("kind")
    assert all(isinstance(value, (int, float)) for value in row.values()), row
    if kind == "conv":
        count += row["kernel_px"] ** 2 * row["inputs"] // row["groups"] * row["outputs"]
    elif kind == "norm":
        count += 2 * row["inputs"]
    elif kind == "dense":
        count += row["inputs"] * row["outputs"] + row["outputs"]
print(json.dumps({{"parameters": count, "version": "none", "threads": 1}}), flush=True)
slow = 4 - 2 * request["compile"] - request["bfloat16"]
for _ in sys.stdin:
    print(json.dumps(slow * 1e6), flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="stops processes by signals")
def test_a_step_is_compared_with_the_fastest_mode_of_torch(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(STAND_IN.format(python=sys.executable))
    python.chmod(0o755)
    words = ["quickstart", "--alpha", "0.05", "--rounds", "1", "--json"]
    words += ["--set", "model.block_count=1", "--torch-python", str(python)]
    done = CliRunner().invoke(load(FOLDER / "train_step.py")["main"], words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["alphas"][0]
    assert found["torch"]["best"] == "torch_compile_bfloat16"
    modes = {name: ms for name, ms in found["ms"].items() if name.startswith("torch_")}
    assert modes == {
        "torch_eager": 4e6,
        "torch_eager_bfloat16": 3e6,
        "torch_compile": 2e6,
        "torch_compile_bfloat16": 1e6,
    }
    assert found["times_as_fast"]["float32 to torch"] > 1


def test_a_model_of_the_zoo_keeps_the_settings_of_its_float_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, out = load(FOLDER / "zoo_run.py")["main"], tmp_path / "run"
    card = next(card for card in load_cards() if not card.recipe.data.validation_count)
    assert CliRunner().invoke(script, ["no_model", str(out)]).exit_code == 2
    refused = CliRunner().invoke(script, [card.name, str(out), "--set", "train.epochs=3"])
    assert (refused.exit_code, "train.epochs: " in refused.output) == (2, True)
    assert CliRunner().invoke(script, [card.name, str(out), "--set", "seed=7"]).exit_code == 0

    data = replace(card.recipe.data, validation_count=100)  # whose split follows from the seed
    split = replace(card, recipe=replace(card.recipe, data=data))
    monkeypatch.setitem(script.callback.__globals__, "load_card", lambda _: split)
    refused = CliRunner().invoke(script, [card.name, str(tmp_path / "b"), "--set", "seed=7"])
    assert (refused.exit_code, "seed: " in refused.output) == (2, True)
    assert not (tmp_path / "b").exists()
