from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mobilenet_tf.data.sources import load_training_split
from mobilenet_tf.debugging.alignment import Alignment
from mobilenet_tf.debugging.causes import Cause, LayerDifference, explain_difference
from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.quantization.qat import calibrate, quantize_model
from mobilenet_tf.recipe import Options
from mobilenet_tf.tflite.audit import audit
from mobilenet_tf.tflite.constants import read_constants
from mobilenet_tf.tflite.convert import convert
from mobilenet_tf.tflite.interpreter import Classifier

pytestmark = pytest.mark.slow  # converts with TensorFlow

CLASSES = tuple("abcdefghij")
CAUSES = ["as trained", "kernels", "biases", "rounding", "pooling", "softmax"]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return load_training_split("synthetic", None).images[:48]


@pytest.fixture(scope="module")
def made(build_settled: Any, images: np.ndarray) -> tuple[Any, list[np.ndarray], bytes]:
    """A small fake-quantized network, its weights, and its file."""
    network = build_settled(images)
    model = quantize_model(network)
    calibrate(model, images)
    content = convert(model, quantization="int8_qat", classes=CLASSES, description="a test")
    return model, model.get_weights(), content


def explain(
    model: Any, content: bytes, images: np.ndarray, **options: Any
) -> tuple[dict[str, Cause], tuple[LayerDifference, ...]]:
    expected = Classifier.load(content, **options).predict(images)
    alignment = Alignment(content, model, Classifier.load(content, keep_tensors=True, **options))
    found = explain_difference(alignment, read_constants(content), images, expected)
    return {cause.name: cause for cause in found.causes}, found.layers


@pytest.mark.parametrize("reference_kernels", [False, True])
def test_the_causes_together_are_the_whole_difference(
    made: tuple[Any, list[np.ndarray], bytes], images: np.ndarray, reference_kernels: bool
) -> None:
    model, weights, content = made
    model.set_weights(weights)
    causes, layers = explain(model, content, images, reference_kernels=reference_kernels)
    assert list(causes) == CAUSES
    assert causes["kernels"].differing_values == 0, "folding and grid are the file's"
    assert causes["kernels"].same_outputs == causes["as trained"].same_outputs
    assert causes["biases"].differing_values > 0
    assert causes["pooling"].same_outputs > 0.95, "all but the softmax is done as the file does"
    assert causes["pooling"].same_outputs > causes["as trained"].same_outputs
    assert causes["softmax"].same_outputs == causes["softmax"].top1_agreement == 1
    assert len(layers) == 17
    assert [layer.effect_steps for layer in layers] == sorted(
        (layer.effect_steps for layer in layers), reverse=True
    )
    assert all(layer.largest_steps <= 1 for layer in layers)
    assert sum(layer.differing_share for layer in layers) > 0


def test_what_is_not_the_file_s_is_named(
    made: tuple[Any, list[np.ndarray], bytes], images: np.ndarray
) -> None:
    model, weights, content = made
    model.set_weights(weights)
    layer = model.get_layer("quant_conv_pw_3")
    (kernel,) = (weight for weight in layer.trainable_weights if "kernel" in weight.name)
    kernel.assign(-kernel)
    layer.layer.bias.assign_add(np.full(layer.layer.bias.shape, 0.5, np.float32))
    (high,) = (
        weight
        for weight in model.get_layer("quant_conv_pw_6_relu").weights
        if weight.name.endswith("output_max:0")
    )
    high.assign(high * 0.3)
    causes, layers = explain(model, content, images)
    assert causes["kernels"].differing_values > 0.9 * kernel.numpy().size
    assert causes["kernels"].mean_difference_steps < causes["as trained"].mean_difference_steps
    assert causes["biases"].mean_difference_steps < causes["kernels"].mean_difference_steps
    assert causes["rounding"].mean_difference_steps < 0.5 * causes["biases"].mean_difference_steps
    assert layers[0].name == "conv_pw_6"
    assert layers[0].largest_steps > 10
    np.testing.assert_allclose(kernel.numpy(), weights_of(content)["conv_pw_3"], rtol=1e-6)


def test_what_a_hard_sigmoid_adds_is_in_the_bias_of_the_file(images: np.ndarray) -> None:
    options = Options(block_count=1, squeeze_excitation="on")
    variant = make_variant("mobilenet_v2", alpha=0.1, resolution_px=32, classes=10, options=options)
    model = quantize_model(build_variant(variant, seed=3))
    for layer in model.layers:
        if layer.name.endswith("squeeze_excite_Conv_1"):
            layer.layer.bias.assign(np.linspace(-1, 1, layer.layer.bias.shape[0]))
    calibrate(model, images)
    content = convert(model, quantization="int8_qat", classes=CLASSES, description="a test")
    _, layers = explain(model, content, images)
    assert all(layer.largest_steps <= 2 for layer in layers)


def weights_of(content: bytes) -> dict[str, np.ndarray]:
    found, constants = audit(content), read_constants(content)
    return {
        found.tensors[found.ops[index].inputs[1]].name.removesuffix("/kernel"): held.kernel
        for index, held in constants.items()
    }


def test_no_image_is_refused(made: tuple[Any, list[np.ndarray], bytes], images: np.ndarray) -> None:
    model, _, content = made
    with pytest.raises(UsageError, match="no image"):
        explain_difference(Alignment(content, model), {}, images[:0], np.zeros((0, 10)))
