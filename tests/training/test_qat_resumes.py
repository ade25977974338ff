"""Quantization-aware training that is killed where the ranges freeze, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

RESUMED = """
import json, logging, sys
from pathlib import Path
from mobilenet_tf.pipeline import qat
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.pipeline.stages import Work
from mobilenet_tf.pipeline.train import save_chosen
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.runs.folder import RunFolder

folder = Path(sys.argv[1])
recipe = load_recipe("quickstart", (
    "data.name=synthetic", "data.validation_count=64", "model.alpha=0.05", "model.block_count=1",
    "model.dropout=0.2", "deterministic=true", "seed=2147483647",
    "qat.epochs=4", "qat.batch_size=64", "qat.calibration_count=32",
))
plan = make_plan(RunFolder(folder / "run"), recipe)

class Killed(Exception):
    pass

class Killer(logging.Handler):
    deadly = None
    def emit(self, record):
        if self.deadly and self.deadly in record.getMessage():
            raise Killed

killer = Killer()
logging.getLogger("mobilenet_tf").addHandler(killer)
logging.getLogger("mobilenet_tf").setLevel(logging.INFO)

def train(name, die_after=None):
    killer.deadly = die_after and f" {die_after}/"
    try:
        qat.run(Work(plan, folder / name, {"train": folder}))
    except Killed:
        pass
    return next(iter((folder / name).glob("v1_*.safetensors")), None)

save_chosen(build_float_model(recipe), folder, plan, "float32")
whole = train("whole")
train("killed", die_after=2)  # where the ranges freeze
killed = train("killed")
print(json.dumps(killed.read_bytes() == whole.read_bytes()))
"""


def test_deterministic_quantized_training_resumes_to_equal_bytes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RESUMED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) is True
