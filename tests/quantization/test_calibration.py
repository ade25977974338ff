from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mobilenet_tf.keras import keras
from mobilenet_tf.quantization.calibration import (
    OUTLIER_SHARE,
    leave_out_outliers,
    measure_largest,
)
from mobilenet_tf.quantization.qat import calibrate, quantize_model

pytestmark = pytest.mark.slow  # quantizes and converts whole networks

SIDE_PX = 8


@pytest.fixture(scope="module")
def network() -> Any:
    """Three convolutions without a ceiling, whose activations grow with the contrast's cube."""
    image = keras.Input((SIDE_PX, SIDE_PX, 3))
    x = image
    for index in range(3):
        linear = keras.layers.Conv2D(8, 1, name=f"linear_{index}")(x)
        gate = keras.layers.Conv2D(8, 1, name=f"gate_{index}")(x)
        x = keras.layers.Multiply(name=f"product_{index}")([linear, gate])
    x = keras.layers.GlobalAveragePooling2D()(x)
    keras.utils.set_random_seed(5)
    network = keras.Model(image, keras.layers.Dense(4, name="classifier")(x))
    rng = np.random.default_rng(5)
    for layer in network.layers:
        layer.set_weights([rng.normal(size=w.shape).astype("f") for w in layer.get_weights()])
    return network


def make_images(count: int, contrast: int) -> np.ndarray:
    rng = np.random.default_rng(contrast)
    return rng.integers(128 - contrast, 128 + contrast, (count, SIDE_PX, SIDE_PX, 3)).astype("u1")


def test_an_image_that_makes_activations_explode_is_left_out(network: Any) -> None:
    usual = make_images(60, contrast=20)
    images = np.insert(usual, 17, make_images(1, contrast=127), axis=0)
    np.testing.assert_array_equal(leave_out_outliers(network, images), usual)
    np.testing.assert_array_equal(leave_out_outliers(network, usual), usual)

    def mean_error(calibration: np.ndarray) -> float:
        quantized = quantize_model(network)
        calibrate(quantized, calibration)
        images = (usual.astype(np.float32) - 128) / 128
        return float(np.abs(quantized(images) - network(images)).mean())

    assert mean_error(leave_out_outliers(network, images)) < 0.3 * mean_error(images)


def test_what_is_frequent_is_no_outlier(network: Any) -> None:
    count, exploding = 40, 8
    images = np.concatenate(
        [make_images(count - exploding, contrast=20), make_images(exploding, contrast=127)]
    )
    kept = leave_out_outliers(network, images)
    assert len(kept) >= (1 - OUTLIER_SHARE) * count


def test_dead_layers_and_single_images_are_kept(network: Any) -> None:
    dead = keras.models.clone_model(network)  # all biases 0
    black = np.full((3, SIDE_PX, SIDE_PX, 3), 128, np.uint8)  # zeros, once normalised
    assert len(leave_out_outliers(dead, black)) == 3
    assert len(leave_out_outliers(network, make_images(1, contrast=127))) == 1


def test_the_largest_values_are_those_of_each_layer_and_image(network: Any) -> None:
    images = make_images(5, contrast=50)
    found = measure_largest(network, images, batch_size=2)
    outputs = keras.Model(network.input, [layer.output for layer in network.layers[1:]])
    values = outputs((images.astype(np.float32) - 128) / 128)
    expected = [np.abs(value.numpy()).reshape(5, -1).max(1) for value in values]
    np.testing.assert_allclose(found, np.stack(expected, 1), rtol=1e-5)
