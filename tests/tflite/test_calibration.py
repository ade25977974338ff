from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.errors import MtfError
from mobilenet_tf.keras import keras, tf
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.quantization.folding import fold_batch_norm
from mobilenet_tf.recipe import ActivationName, Options
from mobilenet_tf.tflite.audit import audit
from mobilenet_tf.tflite.convert import convert
from mobilenet_tf.tflite.interpreter import Classifier

pytestmark = pytest.mark.slow  # converts with TensorFlow

SIDE_PX = 16
LEVELS = 255  # steps between the 256 values of an int8
Build = Callable[..., Any]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    drawn = np.random.default_rng(0).integers(0, 256, (12, SIDE_PX, SIDE_PX, 3)).astype(np.uint8)
    drawn[0, 0, 0] = (0, 128, 255)  # the ends of the input's range
    return drawn


@pytest.fixture(scope="module")
def build() -> Build:
    """Build the first blocks of MobileNetV1, with statistics and biases unlike a new network's."""

    def make(activation: ActivationName, *, residual: bool = False) -> Any:
        options = Options(activation=activation, block_count=3, residual=residual)
        variant = make_variant(
            "mobilenet_v1",
            alpha=0.25,
            resolution_px=SIDE_PX,
            classes=4,
            stride_plan="cifar",
            options=options,
        )
        network = build_variant(variant, seed=1)
        rng = np.random.default_rng(1)
        for variable in network.variables:
            if "beta" in variable.name or "bias" in variable.name:
                variable.assign(rng.normal(0, 0.5, variable.shape))
            if "gamma" in variable.name:
                variable.assign(rng.uniform(1, 4, variable.shape))
        return network

    return make


def quantize(network: Any, images: np.ndarray) -> bytes:
    return convert(
        network,
        quantization="int8_ptq",
        classes=tuple("abcd"),
        description="for tests",
        calibration_images=images,
    )


@pytest.mark.parametrize(
    ("activation", "residual"), [("relu6", True), ("hard_swish", False), ("silu", True)]
)
def test_every_tensor_has_the_range_of_its_own_layer(
    build: Build, images: np.ndarray, activation: ActivationName, residual: bool
) -> None:
    network = build(activation, residual=residual)
    found = audit(quantize(network, images))
    folded = fold_batch_norm(network)
    names = [tensor.name for tensor in found.tensors if tensor.kind == "activations"]
    known = [layer for layer in folded.layers if layer.name in names]
    # An op that works in place writes over one of these: a sum's or a product's input.
    assert {"relu6": "Add", "hard_swish": "Multiply", "silu": "Multiply"}[activation] in {
        type(layer).__name__ for layer in known
    }
    values = keras.Model(folded.input, [layer.output for layer in known])(
        normalise(tf.constant(images))
    )
    scales = {tensor.name: tensor.scales[0] for tensor in found.tensors if tensor.scales}
    for layer, value in zip(known, values, strict=True):
        if getattr(layer, "activation", None) is keras.activations.sigmoid:
            continue  # TFLite prescribes its range
        width = max(value.numpy().max(), 0) - min(value.numpy().min(), 0)
        assert scales[layer.name] * LEVELS == pytest.approx(width, rel=1e-4), layer.name


def test_a_layer_that_is_0_in_every_image_has_a_scale_that_runs(
    build: Build, images: np.ndarray
) -> None:
    network = build("relu")
    beta = network.get_layer("conv_pw_2_bn").beta
    beta.assign(np.full(beta.shape, -1000))
    scores = Classifier.load(quantize(network, images)).predict(images)
    assert np.isfinite(scores).all()


def test_what_has_no_range_is_refused(build: Build, images: np.ndarray) -> None:
    network = build("relu")
    network.get_layer("conv_pw_2").kernel.assign_add(
        np.full(network.get_layer("conv_pw_2").kernel.shape, np.nan)
    )
    with pytest.raises(MtfError, match=r"'.*' has values from nan to nan.*train again"):
        quantize(network, images)
