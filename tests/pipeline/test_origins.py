"""Runs that start from weights trained before, with the runner's stages that only write a file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.files import hash_file
from mobilenet_tf.models.kernels import count_kernels
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.names import recipe_variant

ALL = ["train", "qat", "export", "benchmark", "report"]


def write_weights(file: Path, content: bytes) -> str:
    """Write weights of the bench's network, with `content` beside them; return their SHA-256."""
    kernels, _ = count_kernels(recipe_variant(load_recipe("quickstart")))
    tensors = {name: np.zeros(size, np.uint8) for name, size in kernels.items()}
    file.write_bytes(safetensors.numpy.save({**tensors, "a": np.frombuffer(content, np.uint8)}))
    return hash_file(file)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "trained.safetensors"
    write_weights(file, b"one")
    return file


def test_other_weights_make_what_started_from_them_out_of_date(bench: Any, weights: Path) -> None:
    bench.set(f"train.weights={weights}")
    inputs = bench.pipeline()["train"].inputs
    assert inputs == {"weights": hash_file(weights)}
    bench.pipeline()
    assert bench.ran == []
    write_weights(weights, b"two")
    bench.pipeline()
    assert bench.ran == ALL
    weights.unlink()  # nothing that was learned is lost with it
    bench.pipeline()
    assert bench.ran == []
    with pytest.raises(UsageError, match=r"train\.weights .*trained\.safetensors: No such file"):
        bench.pipeline(overwrite=True)


@pytest.mark.parametrize("change", ["", "train.learning_rate=0.05"])
@pytest.mark.parametrize(("left", "went_on"), [(b"one", True), (None, True), (b"two", False)])
def test_a_killed_training_goes_on_unless_it_would_start_from_others(
    bench: Any, weights: Path, left: bytes | None, went_on: bool, change: str
) -> None:
    bench.set(f"train.weights={weights}")
    bench.failing = "train"
    with pytest.raises(MtfError, match="the power went out"):
        bench.pipeline()
    bench.failing = None
    sha256 = hash_file(weights)
    if left is None:
        weights.unlink()
    else:
        sha256 = write_weights(weights, left)
    bench.set(f"train.weights={weights}", *filter(None, [change]))
    inputs = bench.pipeline(allow_changes=True)["train"].inputs
    assert bench.content("train") == ("continued" if went_on else "fresh")
    assert inputs == {"weights": sha256}


@pytest.mark.parametrize("allow_changes", [False, True])
def test_an_unfinished_training_has_started_from_where_it_has(
    bench: Any, weights: Path, allow_changes: bool
) -> None:
    bench.failing = "train"
    with pytest.raises(MtfError, match="the power went out"):
        bench.pipeline()
    bench.failing = None
    bench.set(f"train.weights={weights}")
    said = r"train\.weights: '' there, .*\(train\.weights cannot change on the way\)"
    with pytest.raises(UsageError, match=said):
        bench.pipeline(allow_changes=allow_changes)
    bench.set()
    bench.pipeline()
    assert bench.content("train") == "continued"


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "folder", "fifo", "device"])
def test_unusable_weights_are_refused_before_a_folder_is_made(kind: str, tmp_path: Path) -> None:
    file, run = tmp_path / "some.safetensors", RunFolder(tmp_path / "run")
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind != "missing":
        file.write_bytes(b"" if kind == "empty" else b"hello, world")
    with pytest.raises(UsageError, match=r"some\.safetensors"):
        make_plan(run, load_recipe("quickstart", (f"train.weights={file}",)))
    assert not run.path.exists()


def test_changed_images_make_all_that_came_of_them_out_of_date(bench: Any, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for name in (f"{label}/{i}.png" for label in "ab" for i in range(3)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"not looked at")
    bench.set(f"data.path={folder}", "train.batch_size=2", "qat.batch_size=2")
    bench.recipe = bench.plan().recipe
    bench.pipeline()
    bench.pipeline()
    assert bench.ran == []
    (folder / "b/3.png").write_bytes(b"")
    bench.pipeline()
    assert bench.ran == ALL
    assert any("data.path" in message for message in bench.messages)
    (folder / "b/3.png").write_bytes(b"another")
    bench.pipeline()
    assert bench.ran == ALL
    shutil.rmtree(folder)  # a finished run needs them no more
    bench.pipeline()
    assert bench.ran == []
    with pytest.raises(UsageError, match="images does not exist"):
        bench.pipeline(overwrite=True)
