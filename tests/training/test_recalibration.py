from __future__ import annotations

import numpy as np
import pytest

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.keras import keras
from mobilenet_tf.models.dropout import StochasticDepth
from mobilenet_tf.training.recalibration import recalibrate_batch_norm, shared_momentum


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    bright = np.linspace(40, 200, 60).astype(np.uint8)[:, None, None, None]  # batches differ
    noise = np.random.RandomState(1).randint(0, 40, (60, 8, 8, 3)).astype(np.uint8)
    return bright + noise


def build(seed: int = 1) -> keras.Model:
    """Build a network whose first statistics are far off, with a layer that drops in training."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.BatchNormalization(momentum=0.9, name="first")(image)
    x = StochasticDepth(0.5, seed, name="drop")(x)
    x = keras.layers.Conv2D(4, 3, name="conv")(x)
    x = keras.layers.BatchNormalization(name="second")(x)
    return keras.Model(image, x)


@pytest.mark.parametrize("batch_size", [60, 20, 500])
def test_statistics_are_those_of_all_images(images: np.ndarray, batch_size: int) -> None:
    model = build()
    recalibrate_batch_norm(model, images, batch_size)
    first = model.get_layer("first")
    floats = normalise(images)
    np.testing.assert_allclose(first.moving_mean, floats.mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(first.moving_variance, floats.var((0, 1, 2)), rtol=0.01)
    assert first.momentum == 0.9
    assert model.get_layer("drop").rate == 0.5


def test_later_layers_see_nothing_dropped_and_weights_stay(images: np.ndarray) -> None:
    model = build()
    before = {v.name: v.numpy() for v in model.trainable_variables}
    recalibrate_batch_norm(model, images, 60)
    outputs = model(normalise(images)).numpy()
    np.testing.assert_allclose(outputs.mean((0, 1, 2)), 0, atol=0.02)
    np.testing.assert_allclose(outputs.std((0, 1, 2)), 1, atol=0.02)
    for variable in model.trainable_variables:
        np.testing.assert_array_equal(variable, before[variable.name])


def test_images_sorted_by_class_are_mixed_first(images: np.ndarray) -> None:
    """By batches alike in themselves, the second layer would see a spread that no mixture has."""
    sorted_model, mixed_model = build(), build()
    mixed_model.set_weights(sorted_model.get_weights())
    assert recalibrate_batch_norm(sorted_model, images, 7) == 56
    mixed = images[np.random.default_rng(3).permutation(60)]
    recalibrate_batch_norm(mixed_model, mixed, 7)
    found, wanted = (model.get_layer("second") for model in (sorted_model, mixed_model))
    np.testing.assert_allclose(found.moving_variance, wanted.moving_variance, rtol=0.2)


def test_moving_statistics_keep_their_share_of_a_step_over_all_of_its_parts() -> None:
    model = build()
    first = model.get_layer("first")
    with shared_momentum(model, 4):
        assert first.momentum**4 == pytest.approx(0.9)
    assert first.momentum == 0.9
