from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mobilenet_tf.data.splits import Split
from mobilenet_tf.keras import keras, tf
from mobilenet_tf.training.head import fit_head, regress


def build(classes: int) -> Any:
    """Build a network whose features are the mean of each channel."""
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(image)
    x = keras.layers.Conv2D(classes, 1, name="classifier")(x)
    return keras.Model(image, keras.layers.Reshape((classes,))(x))


def colours(labels: list[int]) -> Split:
    """Return images, larger than the network's input, whose class is their brightest channel."""
    images = np.random.default_rng(1).integers(0, 150, (len(labels), 12, 12, 3))
    images[np.arange(len(labels)), :, :, labels] += 100
    return Split(images.astype(np.uint8), np.asarray(labels, np.int64))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_classifier_is_the_regression_on_frozen_features(classes: int) -> None:
    split, models = colours(list(range(classes)) * 70), [build(classes), build(classes)]
    for model in models:
        fit_head(model, split, seed=1)
    inputs = tf.image.resize(split.images, (8, 8)) / 128 - 1
    assert (models[0](inputs).numpy().argmax(-1) == split.labels).mean() > 0.99
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_class_without_images_gets_no_votes() -> None:
    kernel, bias = regress(np.eye(3, dtype=np.float32).repeat(5, 0), np.repeat([0, 1, 3], 5), 4, 0)
    assert kernel.shape == (3, 4)
    assert not kernel[:, 2].any()
    assert bias[2] == bias.min()


def test_balance_helps_the_smaller_class() -> None:
    features = np.random.default_rng(0).normal(size=(110, 1)).astype(np.float32)
    labels = np.repeat([0, 1], [100, 10])
    (_, plain), (_, balanced) = (regress(features, labels, 2, balance) for balance in (0.0, 1.0))
    assert plain[1] - plain[0] < -1
    assert abs(balanced[1] - balanced[0]) < 0.5
