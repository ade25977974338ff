"""What a network looked at: Grad-CAM of a Keras model."""

from __future__ import annotations

from typing import Any

import numpy as np

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.keras import keras, tf

SHADOW = 0.25  # how bright is left what a network did not look at


def spotlight(model: Any, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return images, uint8 (N, R, R, 3), lit where they speak for `classes`, int64 (N,).

    The features are those of the last layer that still has places, before the global pooling; each
    is weighted by the mean gradient of the class's logit, and what speaks against it is left out.
    Source: Selvaraju 2017, arXiv 1610.02391, equations 1 and 2.
    """
    seen = normalise(tf.constant(images))
    observed = keras.Model(model.inputs, [_find_features(model), model.output])
    with tf.GradientTape() as tape:
        tape.watch(seen)
        features, logits = observed(seen, training=False)
        score = tf.reduce_sum(tf.gather(logits, classes, axis=1, batch_dims=1))
    weights = tf.reduce_mean(tape.gradient(score, features), (1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(weights * features, -1, keepdims=True))
    heat /= tf.maximum(tf.reduce_max(heat, (1, 2), keepdims=True), 1e-12)
    light = SHADOW + (1 - SHADOW) * tf.image.resize(heat, images.shape[1:3]).numpy()
    return np.rint(images * light).astype(np.uint8)


def _find_features(model: Any) -> Any:
    """Return the output of the last layer that has more than one place, (N, h, w, C)."""
    for layer in reversed(model.layers):
        shape = layer.output_shape
        if isinstance(shape, tuple) and len(shape) == 4 and shape[1] * shape[2] > 1:
            return layer.output
    raise ValueError(f"{model.name} has no layer with more than one place")
