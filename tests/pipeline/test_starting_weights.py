"""Runs that start from weights trained before, with the runner's stages that only write a file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.pipeline.runner import check_request

ALL = ["train", "qat", "export", "benchmark", "report"]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "trained.safetensors"
    file.write_bytes(b"one")
    return file


def test_other_weights_make_what_started_from_them_out_of_date(bench: Any, weights: Path) -> None:
    bench.set(f"train.weights={weights}")
    inputs = bench.pipeline()["train"].inputs
    assert inputs == {"weights": hashlib.sha256(b"one").hexdigest()}
    bench.pipeline()
    assert bench.ran == []
    weights.write_bytes(b"two")
    bench.pipeline()
    assert bench.ran == ALL
    assert any("that it started from have changed" in message for message in bench.messages)
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
    if left is None:
        weights.unlink()
    else:
        weights.write_bytes(left)
    bench.set(f"train.weights={weights}", *filter(None, [change]))
    inputs = bench.pipeline(allow_changes=True)["train"].inputs
    assert bench.content("train") == ("continued" if went_on else "fresh")
    assert inputs == {"weights": hashlib.sha256(left or b"one").hexdigest()}


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


def test_missing_weights_are_refused_before_a_folder_is_made(bench: Any, tmp_path: Path) -> None:
    bench.set(f"train.weights={tmp_path / 'gone.safetensors'}")
    with pytest.raises(UsageError, match=r"gone\.safetensors: No such file .*name of mtf zoo"):
        check_request(bench.run, bench.recipe)
    bench.set("train.weights=cifar1")
    with pytest.raises(UsageError, match="did you mean 'cifar10'"):
        check_request(bench.run, bench.recipe)
