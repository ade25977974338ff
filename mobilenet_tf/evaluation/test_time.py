"""Test-time augmentation: the views of an image whose probabilities are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mobilenet_tf.errors import UsageError

PredictFn = Callable[[np.ndarray], np.ndarray]
"""Bytes (N, R, R, 3) uint8 -> probabilities (N, C) float32."""


def check_views(views: Sequence[str]) -> None:
    """Refuse (UsageError) a view that is named twice."""
    if len(set(views)) < len(views):
        raise UsageError(f"test-time augmentation {', '.join(views)} names a view twice")


def count_views(views: Sequence[str]) -> int:
    """Return how often an image is looked at: once as it is, and in every combination."""
    return len(_list_views(views))


def _list_views(views: Sequence[str]) -> list[tuple[bool, int]]:
    """Return every combination of a mirror image and quarter turns."""
    mirrors = (False, True) if "flip" in views else (False,)
    return [(mirror, turn) for mirror in mirrors for turn in range(4 if "rotate" in views else 1)]


def augment_predictions(predict: PredictFn, views: Sequence[str]) -> PredictFn:
    """Return what predicts the mean probabilities over views of each image.

    "flip" mirrors left for right, "rotate" turns by 90, 180 and 270 degrees.
    """

    def predict_views(images: np.ndarray) -> np.ndarray:
        total: Any = 0.0
        for mirror, turn in _list_views(views):
            view = np.rot90(images[:, :, ::-1] if mirror else images, turn, axes=(1, 2))
            total = total + np.asarray(predict(np.ascontiguousarray(view)), np.float64)
        return np.asarray(total / count_views(views), np.float32)

    return predict_views
