"""Calibration: which images the ranges of activations come from."""

from __future__ import annotations

from typing import Any

import numpy as np

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.keras import keras, tf
from mobilenet_tf.quantization.folding import fold_batch_norm
from mobilenet_tf.system import terminal

OUTLIER_TIMES = 6.0  # so many times as large as in the median image
OUTLIER_SHARE = 0.05  # of the images, at most: what is more frequent is no exception


def leave_out_outliers(model: Any, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Return the images (N, R, R, 3) uint8 without those that would spoil the others' ranges.

    Without a ceiling (SiLU, linear bottlenecks), a rare image can make activations a hundred times
    as large as usual; a range for them leaves all others a few of its 256 levels. Left out are
    images whose largest value at some layer is more than `OUTLIER_TIMES` the median image's.
    Percentiles clip too, but in every image (Wu 2020, arXiv 2004.09602, section 5).
    """
    largest = measure_largest(model, images, batch_size)
    usual = np.median(largest, axis=0)
    times = (largest[:, usual > 0] / usual[usual > 0]).max(axis=1, initial=0.0)
    limit = max(OUTLIER_TIMES, float(np.quantile(times, 1 - OUTLIER_SHARE)))
    return images[times <= limit]


def measure_largest(model: Any, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Return the largest magnitude in every image at every layer of the folded network."""
    folded = fold_batch_norm(model)
    outputs = [
        tf.reduce_max(tf.abs(layer.output), axis=list(range(1, len(layer.output.shape))))
        for layer in folded.layers
        if not isinstance(layer, keras.layers.InputLayer)
    ]
    probe = tf.function(keras.Model(folded.input, tf.stack(outputs, axis=1)))
    return np.concatenate(
        [
            probe(normalise(tf.constant(images[start : start + batch_size]))).numpy()
            for start in terminal.track(range(0, len(images), batch_size), "looking for outliers")
        ]
    )
