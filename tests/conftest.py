"""Fixtures that several parts share: CIFAR-10, a finished tiny run, a command line, a bench."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from mobilenet_tf.errors import MtfError
from mobilenet_tf.pipeline import runner
from mobilenet_tf.pipeline.plan import Plan, Rerun, make_plan
from mobilenet_tf.pipeline.stages import Outcome, Stage, Work
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.runs import results
from mobilenet_tf.runs.folder import CHECKPOINT_FILE, WORKING_FILES, RunFolder
from mobilenet_tf.runs.provenance import describe_versions
from mobilenet_tf.runs.results import (
    METRICS,
    BenchmarkMetrics,
    ExportMetrics,
    Machine,
    Metrics,
    ReportMetrics,
    StageResult,
)
from mobilenet_tf.system.child import python_command

ROOT = Path(__file__).resolve().parent.parent
TINY = (  # the smallest run that goes through every stage
    "data.name=synthetic",
    "data.validation_count=64",
    "model.alpha=0.05",
    "model.block_count=2",
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

TRAPS = ("psutil", "numpy", "tensorflow", "tf_keras", "rich", "msgspec", "ai_edge_litert", "json")
TRAPPED_PACKAGES = ("mobilenet_tf", "mobilenet_tf/tflite", "mobilenet_tf/system")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start what takes longest first, so that no process waits for another at the end."""

    def order(item: pytest.Item) -> tuple[bool, bool]:
        run = "finished_run" in getattr(item, "fixturenames", ())
        return item.get_closest_marker("slow") is None, not run

    items.sort(key=order)


class Trapped:
    """A folder full of modules that leave a mark when they are executed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in TRAPPED_PACKAGES:
            (folder / name).mkdir(parents=True)
        mark = f"open({str(folder / 'MARK')!r}, 'a').write(__file__ + '\\n')\n"
        packages = [f"{name}/__init__" for name in TRAPPED_PACKAGES]
        for name in (*TRAPS, *packages, "mobilenet_tf/tflite/trial", "sitecustomize"):
            (folder / f"{name}.py").write_text(mark)

    def executed(self) -> str:
        mark = self.folder / "MARK"
        return mark.read_text() if mark.exists() else ""

    def mtf(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `mtf` here, in a process of its own, like a user."""
        code = "sys.argv[0] = 'mtf'; from mobilenet_tf.cli.main import main; main()"
        return subprocess.run(
            python_command(code, *arguments),
            cwd=self.folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )


@pytest.fixture
def listed_images(tmp_path: Path) -> Path:
    """Return a folder of two classes whose images are listed but never read: they are empty."""
    for name in "ab":
        (tmp_path / "my images" / name).mkdir(parents=True)
        for number in range(20):
            (tmp_path / "my images" / name / f"{number}.jpg").touch()
    return tmp_path / "my images"


@pytest.fixture
def trapped(tmp_path: Path) -> Trapped:
    return Trapped(tmp_path / "trapped")


@pytest.fixture(scope="session")
def cifar10_dir() -> Path:
    """Return a data folder that holds CIFAR-10, or skip: it is too large for the repository."""
    places = [os.environ.get("TFDS_DATA_DIR"), ROOT.parent / "shared" / "tfds"]
    for place in places:
        if place and (Path(place) / "cifar10").is_dir():
            return Path(place)
    pytest.skip("CIFAR-10 is not prepared here: set TFDS_DATA_DIR or run mtf datasets prepare")


@pytest.fixture(scope="session")
def tiny_options() -> list[str]:
    """Return the --set options of the smallest whole run."""
    return [word for setting in TINY for word in ("--set", setting)]


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of this session share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def shared_run(tiny_options: list[str], shared_folder: Path) -> Path:
    """Return a finished tiny run, made once for all processes; nobody may change it.

    Its folder is full of traps (`Trapped`), which no stage may have executed; `tmp` beside it was
    its folder for temporary files.
    """
    home = shared_folder / "finished"
    with FileLock(shared_folder / "finished.lock"):
        if not home.exists():
            trapped, temporary = Trapped(home), home / "tmp"
            temporary.mkdir()
            done = trapped.mtf("run", *tiny_options, "--out", "tiny", TMPDIR=str(temporary))
            assert done.returncode == 0, done.stderr
    return home / "tiny"


@pytest.fixture
def finished_run(shared_run: Path, tmp_path: Path) -> Path:
    """Return a copy of a finished tiny run, for the test to change as it likes."""
    return Path(shutil.copytree(shared_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def build_settled() -> Callable[..., Any]:
    """Build a small network whose batch-norm statistics are those of its own activations."""

    from mobilenet_tf.models.keras_builder import build_variant
    from mobilenet_tf.models.variant import make_variant
    from mobilenet_tf.recipe import Options

    def build(images: np.ndarray, alpha: float = 0.1, block_count: int = 7) -> Any:
        network = build_variant(
            make_variant(
                "mobilenet_v1",
                alpha=alpha,
                resolution_px=32,
                classes=10,
                stride_plan="cifar",
                options=Options(block_count=block_count),
            ),
            seed=3,
            batch_norm_momentum=0.0,
        )
        network((images.astype(np.float32) - 128) / 128, training=True)
        return network

    return build


class Recorder(logging.Handler):
    """Collects what the package reports; one message can stand for kill -9 at that moment."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self.deadly: str | None = None
        self.killed = KilledError

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        if self.deadly and self.deadly in self.messages[-1]:
            raise KilledError


class KilledError(Exception):
    """Stands for kill -9."""


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Return what collects the messages of the package during a test."""
    logger, recorder = logging.getLogger("mobilenet_tf"), Recorder()
    logger.addHandler(recorder)
    logger.setLevel(logging.INFO)
    yield recorder
    logger.removeHandler(recorder)
    logger.setLevel(logging.NOTSET)


def make_metrics(stage: str, number: int = 0, fit_time_s: float = 0.0) -> Metrics:
    """Return metrics of a stage that differ by `number`."""
    if stage in ("train", "qat"):
        return METRICS[stage](
            parameters=number,
            train_count=1,
            validation_count=0,
            best_epoch=1,
            selection="last epoch",
            validation_top1=None,
            epochs_done=1,
            stopped_early=False,
            steps_per_epoch=1,
            images_per_s=1.0,
            fit_time_s=fit_time_s,
        )
    if stage == "export":
        return ExportMetrics(files=(), calibration_count=number, calibration="train")
    if stage == "benchmark":
        return BenchmarkMetrics(rows=(), classes=(), test_count=number, threads=1)
    return ReportMetrics()


def make_result(stage: str, folder: Path, **changes: Any) -> StageResult[Any]:
    """Return the result of a stage whose files are in `folder`."""
    values = {
        "stage": stage,
        "settings": {},
        "inputs": {},
        "versions": describe_versions(),
        "commit": None,
        "machine": Machine(),
        "command": "mtf",
        "data": {},
        "metrics": make_metrics(stage),
        "files": results.record_files(folder, leave_out=WORKING_FILES),
        "started_at": "2026-01-01T00:00:00+00:00",
        "wall_time_s": 0.0,
    }
    return StageResult(**(values | changes))


@pytest.fixture(name="make_result")
def _make_result() -> Callable[..., StageResult[Any]]:
    """Return a function: stage, folder -> the result of that stage with the files there."""
    return make_result


@pytest.fixture(name="make_metrics")
def _make_metrics() -> Callable[..., Metrics]:
    """Return a function: stage, number -> metrics of that stage that differ by the number."""
    return make_metrics


class Bench:
    """A run folder, the recipe to run in it, and what happened."""

    def __init__(self, path: Path, recorder: Recorder) -> None:
        self.run = RunFolder(path)
        self.recipe = load_recipe("quickstart")
        self.recorder = recorder
        self.ran: list[str] = []
        self.inputs: dict[str, list[str]] = {}
        self.failing: str | None = None
        self.count = 0
        self.run.claim(self.recipe)

    @property
    def messages(self) -> list[str]:
        return self.recorder.messages

    def work(self, stage: Stage, work: Work) -> Outcome[Any]:
        self.ran.append(stage.name)
        self.inputs[stage.name] = sorted(work.inputs)
        if self.failing == "at once":
            raise MtfError("the power never came")
        checkpoint = work.folder / CHECKPOINT_FILE
        text = "continued" if checkpoint.exists() else "fresh"
        if stage.resumable:
            checkpoint.write_text("epoch 1")
        if self.failing == stage.name:
            raise MtfError("the power went out")
        (work.folder / "file.txt").write_text(text)
        self.count += 1  # no two results are equal, as no two trainings take the same time
        all_epochs_s = 600.0 if text == "continued" else 0.0
        metrics = make_metrics(stage.name, self.count, all_epochs_s)
        return Outcome(metrics, {"train": "fingerprint"})

    def set(self, *overrides: str) -> None:
        self.recipe = load_recipe("quickstart", overrides)

    def plan(self) -> Plan:
        self.ran, self.recorder.messages = [], []
        return make_plan(self.run, self.recipe)

    def pipeline(self, **rerun: bool) -> dict[str, StageResult[Any]]:
        return runner.run_pipeline(self.plan(), Rerun(**rerun))

    def one(self, name: str, **rerun: bool) -> StageResult[Any]:
        return runner.run_one(name, self.plan(), Rerun(**rerun))

    def content(self, stage: str) -> str:
        return (self.run.stage(stage) / "file.txt").read_text()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorder: Recorder) -> Bench:
    bench = Bench(tmp_path / "run", recorder)
    monkeypatch.setattr(Stage, "run", lambda stage, work: bench.work(stage, work))  # noqa: PLW0108  # bound to the stage
    return bench
