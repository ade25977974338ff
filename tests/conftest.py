"""Fixtures that several parts share: CIFAR-10, a finished tiny run, a command line, a bench."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.errors import MtfError
from mobilenet_tf.pipeline import runner, stages
from mobilenet_tf.pipeline.stages import Outcome, Work
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.runs.folder import CHECKPOINT_FILE, RunFolder
from mobilenet_tf.runs.results import StageResult

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-c", "from mobilenet_tf.cli.main import main; main()"]
TINY = (  # the smallest run that goes through every stage
    "data.name=synthetic",
    "data.validation_count=64",
    "model.alpha=0.05",
    "augmentation.crop_padding_px=2",
    "train.epochs=2",
    "train.batch_size=64",
    "qat.epochs=1",
    "qat.batch_size=64",
    "qat.calibration_count=32",
    "export.calibration_count=32",
    "benchmark.latency_runs=5",
    "benchmark.latency_warmup_runs=1",
)

Mtf = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def cifar10_dir() -> Path:
    """Return a data folder that holds CIFAR-10, or skip: it is too large for the repository."""
    places = [os.environ.get("TFDS_DATA_DIR"), ROOT.parent / "shared" / "tfds"]
    for place in places:
        if place and (Path(place) / "cifar10").is_dir():
            return Path(place)
    pytest.skip("CIFAR-10 is not prepared here: set TFDS_DATA_DIR or run mtf datasets prepare")


@pytest.fixture(scope="session")
def mtf() -> Mtf:
    """Return a function that runs `mtf` in a process of its own, like a user."""

    def run(
        *arguments: object, cwd: Path | None = None, timeout_s: float = 900, **environment: str
    ):
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def tiny_options() -> list[str]:
    """Return the --set options of the smallest whole run."""
    return [word for setting in TINY for word in ("--set", setting)]


@pytest.fixture(scope="session")
def _finished_run(
    mtf: Mtf, tiny_options: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "tiny"
    done = mtf("run", *tiny_options, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def finished_run(_finished_run: Path, tmp_path: Path) -> Path:
    """Return a copy of a finished tiny run, for the test to change as it likes."""
    return Path(shutil.copytree(_finished_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def build_settled() -> Callable[..., Any]:
    """Build a small network whose batch-norm statistics are those of its own activations."""

    from mobilenet_tf.models.keras_builder import build_model

    def build(images: np.ndarray, alpha: float = 0.1) -> Any:
        network = build_model(
            "mobilenet_v1",
            alpha=alpha,
            resolution_px=32,
            classes=10,
            stride_plan="cifar",
            seed=3,
            batch_norm_momentum=0.0,
        )
        network((images.astype(np.float32) - 128) / 128, training=True)
        return network

    return build


class Bench:
    """A run folder, the recipe to run in it, and what happened."""

    def __init__(self, path: Path) -> None:
        self.run = RunFolder(path)
        self.recipe = load_recipe("quickstart")
        self.ran: list[str] = []
        self.messages: list[str] = []
        self.failing: str | None = None
        self.count = 0
        self.run.claim(self.recipe)

    def work(self, stage: str) -> Callable[[Work], Outcome]:
        def do(work: Work) -> Outcome:
            self.ran.append(stage)
            if self.failing == "at once":
                raise MtfError("the power never came")
            checkpoint = work.folder / CHECKPOINT_FILE
            text = "continued" if checkpoint.exists() else "fresh"
            if stage in ("train", "qat"):
                checkpoint.write_text("epoch 1")
            if self.failing == stage:
                raise MtfError("the power went out")
            (work.folder / "file.txt").write_text(text)
            self.count += 1  # no two results are equal, as no two trainings take the same time
            metrics: dict[str, object] = {"inputs": sorted(work.inputs), "count": self.count}
            if text == "continued":
                metrics["fit_time_s"] = 600.0  # of the epochs before and after
            return Outcome(metrics, {"train": "fingerprint"})

        return do

    def set(self, *overrides: str) -> None:
        self.recipe = load_recipe("quickstart", overrides)

    def pipeline(
        self, *, overwrite: bool = False, allow_changes: bool = False
    ) -> dict[str, StageResult]:
        self.ran, self.messages = [], []
        return runner.run_pipeline(
            self.run,
            self.recipe,
            data_dir=None,
            overwrite=overwrite,
            allow_changes=allow_changes,
            echo=self.messages.append,
            progress=False,
        )

    def one(
        self,
        name: str,
        *,
        resume: bool = False,
        overwrite: bool = False,
        allow_changes: bool = False,
    ) -> StageResult:
        self.ran, self.messages = [], []
        return runner.run_one(
            name,
            self.run,
            self.recipe,
            data_dir=None,
            resume=resume,
            overwrite=overwrite,
            allow_changes=allow_changes,
            echo=self.messages.append,
            progress=False,
        )

    def content(self, stage: str) -> str:
        return (self.run.stage(stage) / "file.txt").read_text()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path / "run")
    table = tuple(replace(stage, run=bench.work(stage.name)) for stage in stages.STAGES)
    monkeypatch.setattr(stages, "STAGES", table)
    monkeypatch.setattr(runner, "STAGES", table)
    return bench
