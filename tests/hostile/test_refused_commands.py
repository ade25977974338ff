"""A command that is refused leaves nothing, and one that ends leaves no temporary file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.conftest import TAKING, give

pytestmark = pytest.mark.slow

BAD = ("empty.safetensors", "noise.safetensors", "noise.h5", "pipe.safetensors", "folder", "none")


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Return a folder of what is no model, no weights, no run and no images."""
    (tmp_path / "empty.safetensors").touch()
    for name in ("noise.safetensors", "noise.h5"):
        (tmp_path / name).write_bytes(bytes(range(256)) * 20)
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("words", TAKING, ids=" ".join)
def test_nothing_is_left(
    words: tuple[str, ...], value: str, bad: Path, refused: Callable[..., str]
) -> None:
    before = sorted(bad.rglob("*"))
    refused(*give(words, value))
    assert sorted(bad.rglob("*")) == before


@pytest.mark.parametrize(
    "options",
    [
        ["data.validation_count=10000000"],
        ["data.name=digits", "data.validation_count=1797"],
        ["data.path=folder"],
        ["data.path=none"],
        ["data.path=pipe.safetensors"],
        ["train.teacher=none"],
        ["train.teacher=folder"],
        ["train.batch_size=100000"],
        ["export.quantizations=['int8_qat']", "qat.epochs=0"],
        ["train.weights=cifar10_v1_025_r32"],
        ["model.name=none"],
        ["model.name=alexnet", "model.resolution_px=8"],
    ],
)
def test_no_folder_is_made_for_what_cannot_run(
    options: list[str], bad: Path, refused: Callable[..., str]
) -> None:
    before = sorted(bad.rglob("*"))
    for verb in ("run", "train"):
        words = [word for option in options for word in ("--set", option)]
        if verb == "train" and not all(o.startswith("train.") for o in options):
            continue
        if verb == "train":
            section = {"teacher": "--teacher", "weights": "--weights", "batch_size": "--batch-size"}
            name, _, value = options[0].removeprefix("train.").partition("=")
            words = [section[name], value]
        refused(verb, *words, "--out", "made")
        assert sorted(bad.rglob("*")) == before


def test_a_run_leaves_no_temporary_file(shared_run: Path) -> None:
    temporary = shared_run.parent / "tmp"  # it was made with this one
    assert temporary.is_dir()
    assert list(temporary.rglob("*")) == []
