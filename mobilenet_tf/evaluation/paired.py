"""Two classifiers on the same images: what one has right and the other has not."""

from __future__ import annotations

import numpy as np

from mobilenet_tf.runs.results import Paired


def pair(
    right: np.ndarray, reference_right: np.ndarray, labels: np.ndarray, classes: int
) -> Paired:
    """Return how many images of each class were lost and gained against a reference.

    All three arrays are (N,), the first two bool, `labels` in [0, classes).
    """
    lost = np.bincount(labels[reference_right & ~right], minlength=classes)
    gained = np.bincount(labels[right & ~reference_right], minlength=classes)
    return Paired(lost=tuple(map(int, lost)), gained=tuple(map(int, gained)))
