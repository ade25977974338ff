"""CIFAR-100's road on a stand-in: its recipes, its class count, images made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mobilenet_tf.data.sources import Split
from mobilenet_tf.models.weights import read_weights
from mobilenet_tf.pipeline import training as job
from mobilenet_tf.recipe import load_recipe

CLASSES = 100


def make_images() -> Split:
    """Four 32x32 images a class: two tones that only that class has, and noise."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), 4)
    images = rng.integers(0, 40, (len(labels), 32, 32, 3))
    images[:, :16] += (labels % 10 * 20)[:, None, None, None]
    images[:, 16:] += (labels // 10 * 20)[:, None, None, None]
    return Split(images.astype(np.uint8), labels.astype(np.int64))


@pytest.mark.parametrize("name", ["cifar100", "cifar100_v1_010", "cifar100_v2_050"])
def test_the_recipes_have_a_hundred_classes(name: str) -> None:
    assert load_recipe(name).data.name == "cifar100"


def test_a_hundred_classes_are_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "load_training_split", lambda name, data_dir: make_images())
    settings = ("data.validation_count=100", "train.epochs=2", "train.batch_size=50")
    recipe = load_recipe("cifar100_v1_010", (*settings, "train.learning_rate=0.1"))
    metrics, _ = job.train_float(recipe, tmp_path, None, lambda message: None, False)
    assert (metrics["train_count"], metrics["validation_count"]) == (300, 100)
    assert metrics["steps_per_epoch"] == 6
    tensors, _ = read_weights(tmp_path / "v1_010_r32_float32.safetensors")
    assert tensors["conv_preds/kernel"].shape[-1] == CLASSES
