"""What training may see: the training images, the validation images held out of them, no test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobilenet_tf.data.batches import TrainingBatches
from mobilenet_tf.data.index import TRAIN, VALIDATION
from mobilenet_tf.data.partition import format_split
from mobilenet_tf.data.photographs import open_photographs
from mobilenet_tf.data.pipeline import denormalise, resize_bytes
from mobilenet_tf.data.sources import load_training_split
from mobilenet_tf.data.splits import Split, fingerprint, hold_out_validation
from mobilenet_tf.recipe import AugmentationSettings, Recipe
from mobilenet_tf.system import terminal


@dataclass(frozen=True)
class TrainingData:
    """What training may see: never a test image.

    `split_csv` says which file of a folder is in which part; empty for a named dataset.
    """

    train: Split
    validation: Split | None
    fingerprints: dict[str, str]
    split_csv: str = ""


def load_training_data(recipe: Recipe, data_dir: Path | None) -> TrainingData:
    """Load the training images and hold out the validation ones, as the recipe says."""
    if recipe.data.path:
        photographs = open_photographs(recipe, data_dir)
        train, train_print = photographs.split(TRAIN)
        validation, validation_print = photographs.split(VALIDATION)
        fingerprints = {"train": train_print, "validation": validation_print}
        return TrainingData(train, validation, fingerprints, format_split(photographs.index))
    with terminal.bar(f"loading {recipe.data.name}", None):
        images = load_training_split(recipe.data.name, data_dir)
    train, validation = hold_out_validation(images, recipe.data.validation_count, recipe.seed)
    parts = {"train": train} | ({"validation": validation} if len(validation) else {})
    fingerprints = {name: fingerprint(part) for name, part in parts.items()}
    return TrainingData(train, parts.get("validation"), fingerprints)


def choose_calibration(train: Split, count: int, resolution_px: int, seed: int) -> np.ndarray:
    """Return `count` training images (N, R, R, 3) uint8, drawn by the seed."""
    chosen = np.random.default_rng(seed).permutation(len(train.labels))[:count]
    return resize_bytes(train.images[np.sort(chosen)], resolution_px)


def draw_augmented(
    train: Split,
    settings: AugmentationSettings,
    *,
    count: int,
    resolution_px: int,
    class_count: int,
    seed: int,
) -> np.ndarray:
    """Return about `count` training images as one epoch has them, (N, R, R, 3) uint8."""
    batches = TrainingBatches(
        split=train,
        augmentation=settings,
        resolution_px=resolution_px,
        batch_size=min(count, 250),
        class_count=class_count,
        seed=seed,
    )
    seen = [images.numpy() for images, _ in batches.from_epoch().take(max(count // 250, 1))]
    return denormalise(np.concatenate(seen))
