"""Which weights a run on images of one's own begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mobilenet_tf.errors import MtfError
from mobilenet_tf.models import published
from mobilenet_tf.pipeline.own_images import start_recipe
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.folder import RunFolder


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cut the network off; return what is asked of it."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("HOME", str(tmp_path))
    asked: list[str] = []

    def refuse(url: str, _instead: str) -> bytes:
        asked.append(url.rpartition("/")[2])
        raise MtfError("no network")

    monkeypatch.setattr(published, "download_url", refuse)
    return asked


def start(listed_images: Path, **given: Any) -> Recipe:
    settings = {key.replace("__", "."): value for key, value in given.items()}
    return start_recipe(listed_images, settings, RunFolder(listed_images.parent / "run"))


def cache(tmp_path: Path, name: str) -> None:
    (tmp_path / "keras" / "models").mkdir(parents=True)
    (tmp_path / "keras" / "models" / name).touch()


def test_cached_imagenet_weights_come_first(
    listed_images: Path, asked: list, tmp_path: Path
) -> None:
    cache(tmp_path, "mobilenet_5_0_224_tf_no_top.h5")
    recipe = start(listed_images, model__alpha=0.5)
    assert (recipe.train.weights, recipe.train.optimizer) == ("imagenet", "adamw")
    assert (recipe.data.path, recipe.model.alpha, asked) == (str(listed_images), 0.5, [])


def test_without_them_the_zoo_comes_next_and_then_nothing(
    listed_images: Path, asked: list, recorder: Any
) -> None:
    recipe = start(listed_images)
    assert (recipe.train.weights, recipe.train.optimizer) == ("cifar10_v1_025_r32", "sgd")
    assert asked == ["mobilenet_2_5_224_tf_no_top.h5"]
    assert start(listed_images, model__alpha=0.3).train.weights == ""
    assert len(asked) == 1  # there are none of that width
    assert len(recorder.messages) >= 2


@pytest.mark.parametrize("weights", ["", "imagenet", "mine.keras"])
def test_given_weights_are_not_looked_up(listed_images: Path, asked: list, weights: str) -> None:
    recipe = start(listed_images, train__weights=weights, train__epochs=3)
    assert recipe.train.weights == weights
    assert recipe.train.epochs == 3
    assert recipe.train.head_first == bool(weights)
    assert asked == []


def test_a_run_keeps_the_weights_that_it_began_with(
    listed_images: Path, asked: list, tmp_path: Path
) -> None:
    first = start(listed_images)
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.save_recipe(make_plan(run, first).recipe)
    cache(tmp_path, "mobilenet_2_5_224_tf_no_top.h5")
    assert start(listed_images) == first
    assert len(asked) == 1


def test_weights_that_cannot_be_had_are_refused_before_anything_is_made(
    listed_images: Path, asked: list, tmp_path: Path
) -> None:
    recipe = start(listed_images, train__weights="imagenet")
    with pytest.raises(MtfError, match="no network"):
        make_plan(RunFolder(tmp_path / "run"), recipe)
    assert not (tmp_path / "run").exists()
