"""Runs that learn from another one, with the runner's stages that only write a file."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.runs import results
from mobilenet_tf.runs.folder import RunFolder, StageSettings
from mobilenet_tf.runs.names import weights_name

ALL = ["train", "qat", "export", "benchmark", "report"]


@pytest.fixture
def _no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    from mobilenet_tf.pipeline import train

    monkeypatch.setattr(train, "build_float_model", lambda *_: None)
    monkeypatch.setattr(train, "fold_batch_norm", lambda model: model)


@pytest.fixture
def make_teacher(make_result: Any) -> Callable[..., RunFolder]:
    """Return a function that makes the folder of a run whose float training has finished."""

    def make(path: Path, weights: bytes, *overrides: str, **changes: Any) -> RunFolder:
        run, recipe = RunFolder(path), load_recipe("quickstart", overrides)
        run.claim(recipe)
        run.begin("train", StageSettings(settings={}, inputs={}))
        (run.partial("train") / weights_name(recipe, "float32")).write_bytes(weights)
        result = make_result("train", run.partial("train"), **changes)
        results.save_result(result, run.partial("train"))
        run.commit("train")
        return run

    return make


def test_a_teacher_with_other_weights_makes_what_learned_from_it_out_of_date(
    bench: Any, make_teacher: Any
) -> None:
    teacher = make_teacher(bench.run.path.parent / "teacher", b"one")
    bench.set(f"train.teacher={teacher.path}")
    inputs = bench.pipeline()["train"].inputs
    assert inputs == {"teacher": hashlib.sha256(b"one").hexdigest()}
    make_teacher(teacher.path, b"one")  # made again, to the same
    bench.pipeline()
    assert bench.ran == []
    make_teacher(teacher.path, b"two")
    with pytest.raises(UsageError, match=r"out of date .*teacher"):
        bench.one("qat", overwrite=True)
    bench.pipeline()
    assert bench.ran == ALL
    shutil.rmtree(teacher.path)  # nothing that was learned is lost with it
    bench.pipeline()
    assert bench.ran == []
    with pytest.raises(UsageError, match=r"train\.teacher .* does not exist"):
        bench.pipeline(overwrite=True)
    bench.set()
    bench.pipeline()
    assert bench.ran == ALL


def test_another_teacher_is_a_changed_setting_of_an_unfinished_training(
    bench: Any, make_teacher: Any
) -> None:
    bench.failing = "train"
    with pytest.raises(MtfError):
        bench.pipeline()
    bench.failing = None
    teacher = make_teacher(bench.run.path.parent / "teacher", b"one")
    bench.set(f"train.teacher={teacher.path}")
    with pytest.raises(UsageError, match=r"train\.teacher: '' there, .*--allow-changes"):
        bench.pipeline()
    bench.pipeline(allow_changes=True)
    assert bench.content("train") == "continued"


def test_a_run_does_not_teach_itself(bench: Any) -> None:
    bench.set(f"train.teacher={bench.run.path}")
    with pytest.raises(UsageError, match="is the run itself"):
        bench.one("train")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("missing", "does not exist; give the folder of a finished mtf train"),
        ("empty", "is not the folder of a run"),
        ("unfinished", r"has not finished its training; .*--resume"),
        ("data.name=synthetic", "has data.name synthetic, and this run digits"),
        ("model.resolution_px=40", "has model.resolution_px 40, and this run 32"),
    ],
)
def test_who_cannot_teach_is_refused_before_anything_is_begun(
    change: str, words: str, bench: Any, make_teacher: Any
) -> None:
    path = bench.run.path.parent / "teacher"
    if change == "empty":
        path.mkdir()
    elif change == "unfinished":
        RunFolder(path).claim(bench.recipe)
    elif change != "missing":
        make_teacher(path, b"one", change)
    bench.set(f"train.teacher={path}")
    with pytest.raises(UsageError, match=words):
        bench.one("train")
    assert bench.ran == []
    assert not bench.run.partial("train").exists()


def test_damaged_teachers_are_not_learned_from(bench: Any, make_teacher: Any) -> None:
    teacher = make_teacher(bench.run.path.parent / "teacher", b"one")
    next(teacher.stage("train").glob("*.safetensors")).write_bytes(b"two")
    bench.set(f"train.teacher={teacher.path}")
    with pytest.raises(MtfError, match="is damaged"):
        bench.one("train")


@pytest.mark.usefixtures("_no_networks")
@pytest.mark.parametrize(
    ("seen", "held_out", "said"), [("these", 1, 1), ("others", 1, 2), ("others", 0, 1)]
)
def test_a_warning_says_that_a_teacher_saw_validation_images(
    seen: str, held_out: int, said: int, bench: Any, make_teacher: Any
) -> None:
    from mobilenet_tf.data.training import TrainingData
    from mobilenet_tf.pipeline.train import load_teacher

    teacher = make_teacher(bench.run.path.parent / "teacher", b"one", data={"train": seen})
    bench.set(f"train.teacher={teacher.path}")
    images: Any = object()
    data = TrainingData(images, images if held_out else None, {"train": "these"})
    assert load_teacher(bench.plan(), data) is not None
    assert len(bench.messages) == said  # who teaches, and the warning
