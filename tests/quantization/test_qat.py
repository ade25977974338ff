from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.evaluation.metrics import make_keras_predict_fn
from mobilenet_tf.keras import keras, tf
from mobilenet_tf.quantization.bias import round_biases
from mobilenet_tf.quantization.qat import (
    calibrate,
    deploy,
    quantize_for_training,
    quantize_model,
    set_mode,
    set_norms,
)
from mobilenet_tf.quantization.quantizers import KernelQuantizer, quantize_activation
from mobilenet_tf.quantization.scheme import activation_quantizers
from mobilenet_tf.tflite.convert import convert
from mobilenet_tf.tflite.interpreter import Classifier

pytestmark = pytest.mark.slow  # quantizes and converts whole networks

CLASSES = tuple("abcdefghij")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def model(build_settled: Any, images: np.ndarray) -> Any:
    """A small network whose batch-norm statistics are those of its own activations."""
    return build_settled(images, alpha=0.25, block_count=4)


def grid_steps(kernel: np.ndarray) -> np.ndarray:
    """Return a per-channel kernel in units of its channel's scale."""
    scale = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)), keepdims=True) / 127
    return kernel / scale


def test_kernels_lie_on_a_grid_of_their_own_channel() -> None:
    kernel = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 4, 6)).astype(np.float32))
    kernel = kernel * tf.constant([1.0, 10.0, 100.0, 0.1, 0.01, 1.0])
    steps = grid_steps(KernelQuantizer()(kernel, training=True, weights={}).numpy())
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


def test_depthwise_kernels_have_one_range_a_channel() -> None:
    values = np.random.default_rng(0).normal(size=(3, 3, 6, 1)).astype(np.float32)
    values *= np.float32([1, 1000, 1, 0.001, 1, 1])[:, None]
    quantizer = KernelQuantizer(depthwise=True)
    rounded = quantizer(tf.constant(values), training=True, weights={}).numpy()
    channel = np.abs(values).max(axis=(0, 1, 3))
    error = np.abs(rounded - values).max(axis=(0, 1, 3))
    wide = channel > channel.max() * 2.0**-16
    assert wide.sum() == 5  # the sixth is beyond what a 32-bit bias can follow
    assert (error[wide] <= channel[wide] / 127 / 2 * 1.001).all()


def test_a_channel_of_zeros_stays_zero() -> None:
    kernel = np.ones((1, 1, 2, 3), np.float32)
    kernel[..., 1] = 0
    rounded = KernelQuantizer()(tf.constant(kernel), training=False, weights={}).numpy()
    np.testing.assert_allclose(rounded, kernel, rtol=1e-6)
    nothing = KernelQuantizer()(tf.zeros((1, 1, 2, 3)), training=False, weights={}).numpy()
    assert (nothing == 0).all()


def test_gradients_pass_inside_the_range_and_stop_outside() -> None:
    values = tf.constant([-1.0, 0.5, 3.0, 7.0])
    with tf.GradientTape() as tape:
        tape.watch(values)
        rounded = quantize_activation(values, 0.0, 6.0)
    np.testing.assert_array_equal(tape.gradient(rounded, values).numpy(), [0, 1, 1, 0])
    np.testing.assert_allclose(rounded.numpy(), [0, 0.5, 3, 6], atol=6 / 255 / 2)


def test_calibrated_ranges_are_those_of_the_activations(model: Any, images: np.ndarray) -> None:
    quantized = quantize_model(model)
    calibrate(quantized, images)
    bounds = {v.name: float(v) for v in quantized.variables if "output_" in v.name}
    scaled = (images.astype(np.float32) - 128) / 128
    float_relu = keras.Model(model.input, model.get_layer("conv1_relu").output)
    highest = float_relu(scaled, training=False).numpy().max()
    assert bounds["quant_conv1_relu/output_min:0"] == 0
    # The kernel is quantized while the range is found, so it is near, not equal.
    assert bounds["quant_conv1_relu/output_max:0"] == pytest.approx(highest, rel=0.02)
    assert all(bounds[n] > 0 for n in bounds if n.endswith("max:0"))


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (np.zeros((0, 32, 32, 3), np.uint8), "empty"),
        (np.zeros((2, 16, 16, 3), np.uint8), "16"),
        (np.full((2, 32, 32, 3), np.nan, np.float32), "float32"),
    ],
)
def test_calibration_refuses_what_it_cannot_use(
    model: Any, refused: np.ndarray, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        calibrate(quantize_model(model), refused)


def test_the_twin_predicts_what_the_float_network_does(model: Any, images: np.ndarray) -> None:
    quantized = quantize_model(model)
    calibrate(quantized, images)
    expected = make_keras_predict_fn(model)(images)
    got = make_keras_predict_fn(quantized)(images)
    # An untrained network amplifies rounding; a trained one is ten times nearer.
    assert 0 < np.abs(got - expected).mean() < 5 / 256


@pytest.mark.parametrize("factor", [100.0, 1000.0])
def test_channels_of_very_different_range_cost_nothing(
    model: Any, images: np.ndarray, spread_channels: Any, factor: float
) -> None:
    """The hard case for one range a tensor: the float function is the same, the kernels are not."""
    spread = keras.models.clone_model(model)
    spread.set_weights(model.get_weights())
    spread_channels(spread, factor)
    scaled = (images.astype(np.float32) - 128) / 128
    expected = model(scaled, training=False).numpy()
    np.testing.assert_allclose(spread(scaled, training=False).numpy(), expected, atol=1e-3)
    errors = []
    for network in (model, spread):
        quantized = quantize_model(network)
        calibrate(quantized, images)
        errors.append(np.abs(quantized(scaled, training=False).numpy() - expected).mean())
    assert errors[1] < 1.3 * errors[0]


def test_observing_follows_the_activations_and_frozen_does_not(
    model: Any, images: np.ndarray
) -> None:
    quantized = quantize_model(model)
    calibrate(quantized, images)
    bound = next(v for v in quantized.variables if v.name == "quant_conv1_relu/output_max:0")
    before = float(bound)
    darker = tf.zeros((8, 32, 32, 3)) - 0.01
    quantized(darker, training=True)
    assert float(bound) == before
    assert set_mode(quantized, "observe")
    assert not set_mode(quantized, "observe")
    quantized(darker, training=False)
    assert float(bound) == before
    quantized(darker, training=True)
    assert float(bound) < before


def test_a_dead_layer_has_a_range_that_runs(images: np.ndarray) -> None:
    image = keras.Input((32, 32, 3))
    x = keras.layers.ReLU(name="dead")(keras.layers.Conv2D(4, 1, name="below")(image))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 1, name="above")(x))
    network = keras.Model(image, x)
    network.get_layer("below").bias.assign([-50.0] * 4)
    network.get_layer("above").bias.assign([0.25, 2.0])
    quantized = quantize_model(network)
    calibrate(quantized, images)
    set_mode(quantized, "observe")
    for _ in range(3):
        quantized(tf.zeros((2, 32, 32, 3)), training=True)
    (high,) = (v for v in quantized.variables if v.name == "quant_dead/output_max:0")
    assert float(high) == 1  # zeros do not narrow it
    round_biases(quantized)
    content = convert(quantized, quantization="int8_qat", classes="ab", description="test")
    expected = np.exp([0.25, 2]) / np.exp([0.25, 2]).sum()
    np.testing.assert_allclose(Classifier.load(content).predict(images[:1])[0], expected, atol=0.01)


def test_the_file_computes_what_the_fake_quantized_network_does(
    model: Any, images: np.ndarray
) -> None:
    quantized = quantize_model(model)
    calibrate(quantized, images)
    content = convert(quantized, quantization="int8_qat", classes=CLASSES, description="test")
    expected = make_keras_predict_fn(quantized)(images)
    fast = Classifier.load(content).predict(images)
    reference = Classifier.load(content, reference_kernels=True).predict(images)
    largest = 1.2 * np.abs(fast - reference).mean() + 0.3 / 256  # a quarter step from rounding
    assert np.abs(expected - fast).mean() < largest
    assert np.abs(expected - reference).mean() < largest


def test_every_activation_has_a_quantizer_and_biases_have_none(model: Any) -> None:
    quantized = quantize_model(model)
    relus = sum(isinstance(layer, keras.layers.ReLU) for layer in model.layers)
    assert len(activation_quantizers(quantized)) == relus + 2  # pooling and logits
    assert not any("bias_min" in variable.name for variable in quantized.variables)


def test_a_layer_that_cannot_be_quantized_is_named() -> None:
    image = keras.Input((8, 8, 3))
    x = keras.layers.LSTM(3, name="memory")(keras.layers.Reshape((8, 24))(image))
    with pytest.raises(UsageError, match=r"memory \(LSTM\)"):
        quantize_model(keras.Model(image, x))


def test_a_keras_3_model_is_refused_by_name() -> None:
    keras3 = pytest.importorskip("keras")
    image = keras3.Input((8, 8, 3))
    with pytest.raises(UsageError, match="Keras 3"):
        quantize_model(keras3.Model(image, keras3.layers.Flatten()(image)))


@pytest.mark.parametrize("live", [False, True])
def test_what_was_trained_is_what_is_deployed(
    model: Any, images: np.ndarray, train_a_little: Any, live: bool
) -> None:
    network = keras.models.clone_model(model)
    network.set_weights(model.get_weights())
    trained = quantize_for_training(network)
    calibrate(trained, images)
    before = make_keras_predict_fn(trained)(images)
    assert_deployed(predict_deployed(network, images), before)  # before the first step
    set_mode(trained, "observe")
    assert set_norms(trained, live=live) == live
    assert not set_norms(trained, live=live)
    train_a_little(trained, images)
    after = make_keras_predict_fn(trained)(images)
    assert np.abs(after - before).max() > 0.05
    deployed = deploy(trained, network)
    assert_deployed(make_keras_predict_fn(deployed)(images), after)
    moved = np.abs(
        network.get_layer("conv1_bn").moving_mean - model.get_layer("conv1_bn").moving_mean
    )
    assert (moved.max() > 1e-4) == live


def assert_deployed(found: np.ndarray, wanted: np.ndarray) -> None:
    """Compare probabilities; an inner value at the edge of a step may round the other way."""
    differences = np.abs(found - wanted)
    assert differences.mean() < 1e-3
    assert differences.max() < 0.04


def predict_deployed(network: Any, images: np.ndarray) -> np.ndarray:
    deployed = quantize_model(network)
    calibrate(deployed, images)
    return make_keras_predict_fn(deployed)(images)


@pytest.mark.parametrize("factor", [1.0, 1000.0])
def test_live_normalisation_is_that_of_the_float_network(
    model: Any, images: np.ndarray, spread_channels: Any, factor: float
) -> None:
    """Outputs and moving statistics, up to the rounding of one kernel and the input."""
    network = keras.models.clone_model(model)
    network.set_weights(model.get_weights())
    spread_channels(network, factor)
    scaled = (images.astype(np.float32) - 128) / 128
    name = "conv1_bn"
    expected = keras.Model(network.input, network.get_layer(name).output)
    twin = quantize_for_training(keras.Model(network.input, network.get_layer("conv1_relu").output))
    set_norms(twin, live=True)
    twin_norm = twin.get_layer(name)
    twin_norm.moving_variance.assign(twin_norm.moving_variance * 1.7)  # folded with stale ones
    outputs = keras.Model(twin.input, twin_norm.output)(scaled, training=True)
    np.testing.assert_allclose(outputs, expected(scaled, training=True), atol=0.1)
    norm = network.get_layer(name)  # momentum 0: the batch's own
    np.testing.assert_allclose(twin_norm.moving_variance, norm.moving_variance, rtol=0.02)
    scale = np.sqrt(norm.moving_variance)
    np.testing.assert_allclose(twin_norm.moving_mean / scale, norm.moving_mean / scale, atol=0.02)


def test_a_channel_without_gain_survives_live_normalisation(model: Any, images: np.ndarray) -> None:
    network = keras.models.clone_model(model)
    network.set_weights(model.get_weights())
    norm = network.get_layer("conv1_bn")
    norm.gamma.assign(norm.gamma * np.float32([0, -1] + [1] * (norm.gamma.shape[0] - 2)))
    scaled = (images.astype(np.float32) - 128) / 128
    expected = keras.Model(network.input, norm.output)(scaled, training=True)
    twin = quantize_for_training(keras.Model(network.input, network.get_layer("conv1_relu").output))
    set_norms(twin, live=True)
    twin_norm = twin.get_layer("conv1_bn")
    outputs = keras.Model(twin.input, twin_norm.output)(scaled, training=True)
    np.testing.assert_allclose(outputs, expected, atol=0.1)
    assert np.isfinite(twin_norm.moving_variance).all()
