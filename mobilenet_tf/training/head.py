"""The first phase of transfer: a new classifier on the features of a frozen network."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np

from mobilenet_tf.data.pipeline import normalise, resize_bytes
from mobilenet_tf.data.splits import Split
from mobilenet_tf.keras import keras, tf
from mobilenet_tf.system import terminal
from mobilenet_tf.training.optimizer import weigh_classes

LARGEST_COUNT = 10_000  # images whose features are computed: more change little
BATCH_SIZE = 128
INVERSE_PENALTY = 0.05  # of scikit-learn's C, for features with standard deviation 1

log = logging.getLogger(__name__)


def fit_head(model: Any, train: Split, *, class_balance: float = 0.0, seed: int = 0) -> None:
    """Set the last layer of `model` to the multinomial logistic regression on its inputs.

    They are computed once, for at most `LARGEST_COUNT` training images that are not augmented,
    drawn by the seed.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(train))[:LARGEST_COUNT])
    labels, classes = train.labels[rows], int(model.output_shape[-1])
    layer = next(x for x in reversed(model.layers) if x.weights)
    features = compute_features(keras.Model(model.input, layer.input), train, rows)
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    with terminal.bar("fitting the classifier", None):
        kernel, bias = regress((features - mean) / deviation, labels, classes, class_balance)
    kernel /= deviation[:, np.newaxis]
    layer.kernel.assign(kernel.reshape(layer.kernel.shape))
    layer.bias.assign(bias - mean @ kernel)


def compute_features(network: Any, split: Split, rows: np.ndarray) -> np.ndarray:
    """Return what `network` makes of some images, float32 (count, features)."""
    run = tf.function(lambda images: network(normalise(images), training=False))
    found = []
    for start in terminal.track(range(0, len(rows), BATCH_SIZE), "computing features"):
        images = split.images[rows[start : start + BATCH_SIZE]]
        missing = BATCH_SIZE - len(images)  # filled up, so that one graph does for all
        batch = resize_bytes(np.pad(images, ((0, missing), *[(0, 0)] * 3)), network.input_shape[1])
        found.append(run(tf.constant(batch)).numpy().reshape(BATCH_SIZE, -1)[: len(images)])
    return np.concatenate(found)


def regress(
    features: np.ndarray, labels: np.ndarray, class_count: int, class_balance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel (features, classes) and bias (classes,) of a multinomial regression."""
    from sklearn.linear_model import LogisticRegression

    weights = weigh_classes(labels, class_count, class_balance)
    present = np.unique(labels)
    weighted = None if weights is None else {label: weights[label] for label in present.tolist()}
    regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=300, class_weight=weighted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not yet converged is good enough: training goes on
        regression.fit(features, labels)
    coefficients, intercepts = regression.coef_, regression.intercept_
    if len(present) == 2:  # scikit-learn has one logit for both
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    kernel = np.zeros((features.shape[1], class_count), np.float32)
    bias = np.full(class_count, intercepts.min(), np.float32)
    kernel[:, present], bias[present] = coefficients.T, intercepts
    return kernel, bias
