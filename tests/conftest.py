"""Fixtures that several parts share: where CIFAR-10 is, a finished tiny run, a command line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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
        *arguments: object, cwd: Path | None = None, timeout_s: float = 300, **environment: str
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
