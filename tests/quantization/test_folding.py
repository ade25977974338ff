from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.keras import keras
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.quantization.folding import fold_batch_norm


def randomise(model: Any, seed: int = 0) -> None:
    """Give batch normalisations statistics that matter."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        name = variable.name
        if "moving_variance" in name or "gamma" in name:
            variable.assign(rng.uniform(0.3, 2.0, variable.shape))
        elif "moving_mean" in name or "beta" in name or "bias" in name:
            variable.assign(rng.normal(0, 0.3, variable.shape))


@pytest.mark.slow
def test_a_folded_network_computes_the_same() -> None:
    model = build_variant(
        make_variant("mobilenet_v1", alpha=0.25, resolution_px=32, classes=10, stride_plan="cifar"),
        seed=1,
    )
    randomise(model)
    images = np.random.default_rng(1).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
    expected = model(images, training=False).numpy()
    folded = fold_batch_norm(model)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)
    np.testing.assert_allclose(folded(images).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_bias_scale_and_centre_options_fold_too() -> None:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="a", use_bias=True)(image)
    x = keras.layers.BatchNormalization(scale=False, name="a_bn")(x)
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="b")(x)
    x = keras.layers.BatchNormalization(center=False, name="b_bn")(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(5, name="c")(x)
    model = keras.Model(image, keras.layers.BatchNormalization(name="c_bn")(x))
    randomise(model)
    images = np.random.default_rng(1).uniform(-1, 1, (4, 8, 8, 3)).astype(np.float32)
    expected = model(images, training=False).numpy()
    np.testing.assert_allclose(fold_batch_norm(model)(images).numpy(), expected, atol=1e-5)


def test_a_batch_norm_that_no_kernel_precedes_is_named() -> None:
    image = keras.Input((8, 8, 3))
    x = keras.layers.ReLU(name="first")(image)
    model = keras.Model(image, keras.layers.BatchNormalization(name="lost_bn")(x))
    with pytest.raises(UsageError, match=r"lost_bn.*first"):
        fold_batch_norm(model)


def test_a_kernel_with_a_second_reader_is_not_folded() -> None:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 1, name="shared")(image)
    normed = keras.layers.BatchNormalization(name="shared_bn")(x)
    model = keras.Model(image, keras.layers.Add()([x, normed]))
    with pytest.raises(UsageError, match="shared_bn"):
        fold_batch_norm(model)
