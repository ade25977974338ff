"""A predict function and labelled images -> metrics; Keras models and `.tflite` files alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from mobilenet_tf.data.pipeline import normalise, resize_bytes
from mobilenet_tf.data.sources import Split
from mobilenet_tf.data.splits import Images
from mobilenet_tf.evaluation.score import Score, score_probabilities
from mobilenet_tf.evaluation.test_time import PredictFn
from mobilenet_tf.keras import tf
from mobilenet_tf.recipe import ResizeRule
from mobilenet_tf.system import terminal


def evaluate(
    predict: PredictFn,
    split: Split,
    *,
    resolution_px: int | None = None,
    label: str = "predicting",
) -> Score:
    """Return the metrics of `predict` over every image of `split`; see `predict_all`."""
    probabilities = predict_all(predict, split.images, resolution_px=resolution_px, label=label)
    return score_probabilities(probabilities, split.labels)


def predict_all(
    predict: PredictFn,
    images: Images,
    *,
    resolution_px: int | None = None,
    rule: ResizeRule = "crop",
    batch_size: int = 250,
    label: str = "predicting",
) -> np.ndarray:
    """Return the probabilities (N, C) of images (N, H, W, 3) uint8, in whole, padded batches.

    Images are resized by `rule` where `resolution_px` is given; `label` names the progress bar.
    """
    parts = []
    for start in terminal.track(range(0, len(images), batch_size), label):
        batch = images[start : start + batch_size]
        real = len(batch)
        if resolution_px is not None:
            batch = resize_bytes(batch, resolution_px, rule)
        batch = np.pad(batch, [(0, batch_size - real), (0, 0), (0, 0), (0, 0)], mode="edge")
        parts.append(np.asarray(predict(batch))[:real])
    return np.concatenate(parts).astype(np.float32)


def make_keras_predict_fn(model: Any) -> PredictFn:
    """Return the predict function of a Keras model that gives logits."""

    @tf.function(reduce_retracing=True)
    def forward(images: Any) -> Any:
        return tf.nn.softmax(model(normalise(images), training=False))

    return lambda images: forward(tf.constant(images)).numpy()
