from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mobilenet_tf.data.sources import load_training_split
from mobilenet_tf.evaluation.metrics import make_keras_predict_fn
from mobilenet_tf.keras import keras
from mobilenet_tf.models.activations import Shift
from mobilenet_tf.quantization.bias import find_input_scale, round_biases
from mobilenet_tf.quantization.qat import calibrate, quantize_model
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.audit import audit
from mobilenet_tf.tflite.convert import convert
from mobilenet_tf.tflite.interpreter import Classifier

pytestmark = pytest.mark.slow  # quantizes and converts whole networks

CLASSES = tuple("abcdefghij")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return load_training_split("synthetic", None).images[:128]


@pytest.fixture
def quantized(build_settled: Any, images: np.ndarray) -> Any:
    network = build_settled(images, block_count=4)
    model = quantize_model(network)
    calibrate(model, images)
    return model


def convert_qat(model: Any) -> bytes:
    return convert(model, quantization="int8_qat", classes=CLASSES, description="a test")


def read_biases(content: bytes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the steps (int32) and scales of every bias, by the name of its layer."""
    found, file = audit(content), schema.parse(content)
    graph = file.subgraphs[0]
    return {
        tensor.name.removesuffix("/bias"): (
            file.buffers[graph.tensors[tensor.index].buffer].data.view("<i4"),
            np.float64(tensor.scales),
        )
        for tensor in found.tensors
        if tensor.kind == "biases"
    }


def test_rounded_biases_are_those_of_the_file_which_stays_and_is_nearer(
    quantized: Any, images: np.ndarray
) -> None:
    before = convert_qat(quantized)
    given = Classifier.load(before).predict(images)
    as_trained = make_keras_predict_fn(quantized)(images)
    round_biases(quantized)
    rounded = make_keras_predict_fn(quantized)(images)
    biases = read_biases(before)
    assert len(biases) == 10
    for name, (steps, scales) in biases.items():
        bias = quantized.get_layer(f"quant_{name}").layer.bias.numpy()
        np.testing.assert_allclose(bias, steps * scales, rtol=1e-6, atol=1e-12)
    assert convert_qat(quantized) == before

    def count_apart(probabilities: np.ndarray) -> float:
        return float((np.rint(probabilities * 256) != np.rint(given * 256)).mean())

    assert count_apart(rounded) < 0.5 * count_apart(as_trained)


def test_the_scale_of_an_input_is_that_of_the_range_before_it(quantized: Any) -> None:
    assert find_input_scale(quantized.get_layer("quant_conv1")) == 1 / 128
    relu = quantized.get_layer("quant_conv1_relu")
    (high,) = (float(w) for w in relu.weights if w.name.endswith("output_max:0"))
    assert find_input_scale(quantized.get_layer("quant_conv_dw_1")) == high / 255
    # A dropout lies between the last convolution and the pooling that has the range.
    pooled = quantized.get_layer("quant_global_average_pooling2d")
    low, high = (float(w) for w in pooled.weights if "output_m" in w.name)
    assert find_input_scale(quantized.get_layer("quant_conv_preds")) == (high - low) / 255


def test_a_gate_that_never_learnt_keeps_its_constant(images: np.ndarray) -> None:
    image = keras.Input((32, 32, 3))
    kernel = np.ones((1, 1, 3, 4), np.float32) * np.float32([1, 10, 0.1, 3])
    x = keras.layers.Conv2D(4, 1, name="gate")(image)
    x = keras.layers.ReLU(6.0)(Shift(3.0)(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(image, x)
    network.get_layer("gate").kernel.assign(kernel)
    model = quantize_model(network)
    calibrate(model, images)
    round_biases(model)
    content = convert(model, quantization="int8_qat", classes=CLASSES[:4], description="a test")
    (steps, scales), *_ = read_biases(content).values()
    np.testing.assert_allclose(steps * scales, 3.0, rtol=1e-3)
    given = Classifier.load(content).predict(images)
    assert np.abs(given - make_keras_predict_fn(model)(images)).max() < 2 / 256


def test_a_bias_behind_an_input_without_range_stays() -> None:
    image = keras.Input((4,))
    bare = keras.Model(image, keras.layers.Dense(2, name="dense")(image))
    assert find_input_scale(bare.get_layer("dense")) is None
    bare.get_layer("dense").bias.assign([0.1, 0.2])
    round_biases(bare)
    np.testing.assert_allclose(bare.get_layer("dense").bias.numpy(), [0.1, 0.2])
