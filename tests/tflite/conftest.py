"""Tiny networks with every kind of op that the project exports, and their files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.keras import keras, tf
from mobilenet_tf.system.quiet import quiet_stderr
from mobilenet_tf.tflite.convert import convert

CLASSES = tuple("abcdefghij")
SIDE_PX = 16


def build_tiny_model(channels: tuple[int, ...] = (16, 80)) -> keras.Model:
    """Convolution, depthwise, BN, ReLU6, pooling, 1x1 head and reshape: MobileNetV1 in small."""
    layers = keras.layers
    image = layers.Input((SIDE_PX, SIDE_PX, 3), name="image")
    x = image
    for number, filters in enumerate(channels):
        size = 3 if number == 0 else 1
        x = layers.Conv2D(filters, size, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"conv{number}_bn")(x)
        x = layers.ReLU(6.0, name=f"conv{number}_relu")(x)
        x = layers.DepthwiseConv2D(
            3, padding="same", strides=2, use_bias=False, name=f"dw{number}"
        )(x)
        x = layers.BatchNormalization(name=f"dw{number}_bn")(x)
        x = layers.ReLU(6.0, name=f"dw{number}_relu")(x)
    x = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = layers.Conv2D(len(CLASSES), 1, name="preds")(x)
    model = keras.Model(image, layers.Reshape((len(CLASSES),), name="logits")(x), name="tiny")
    randomise(model)
    return model


def randomise(model: keras.Model) -> None:
    """Give a model weights and BN statistics as training leaves them: none 0, none 1."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if any(part in weight.name for part in ("gamma", "variance")):
            weight.assign(rng.uniform(0.4, 1.6, weight.shape))
        elif any(part in weight.name for part in ("beta", "mean", "bias")):
            weight.assign(rng.normal(0, 0.3, weight.shape))
        else:
            weight.assign(rng.normal(0, 0.4, weight.shape))


class FakeQuantConv(keras.layers.Layer):
    """A convolution with a bias and ReLU6 whose kernel and output are fake-quantized."""

    def __init__(self, filters: int, *, depthwise: bool, per_channel: bool = True) -> None:
        super().__init__()
        self.filters, self.depthwise, self.per_channel = filters, depthwise, per_channel

    def build(self, input_shape: Any) -> None:
        """Make the kernel, (3, 3, C, 1) for a depthwise one, and the bias."""
        shape = (3, 3, input_shape[-1], 1 if self.depthwise else self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape)
        self.bias = self.add_weight(name="bias", shape=(self.filters,))

    def call(self, inputs: Any) -> Any:
        """Convolve (N, H, W, C) with stride 2 and the kernel as int8 would hold it."""
        quantize = (
            tf.quantization.fake_quant_with_min_max_vars_per_channel
            if self.per_channel
            else tf.quantization.fake_quant_with_min_max_vars
        )
        kernel = tf.reshape(self.kernel, (3, 3, -1)) if self.depthwise else self.kernel
        kernel = quantize(kernel, -self.bound, self.bound, narrow_range=True)
        if self.depthwise:
            kernel = tf.reshape(kernel, (3, 3, -1, 1))
            x = tf.nn.depthwise_conv2d(inputs, kernel, [1, 2, 2, 1], "SAME")
        else:
            x = tf.nn.conv2d(inputs, kernel, 2, "SAME")
        x = tf.nn.relu6(tf.nn.bias_add(x, self.bias))
        return tf.quantization.fake_quant_with_min_max_args(x, 0.0, 6.0)

    def freeze_range(self) -> None:
        """Fix the kernel's range to what the kernel spans now."""
        kernel = self.kernel.numpy().reshape(3, 3, -1) if self.depthwise else self.kernel.numpy()
        axes = tuple(range(kernel.ndim - 1)) if self.per_channel else None
        self.bound = np.abs(kernel).max(axis=axes)


def build_fake_quant_model(*, per_channel: bool = True) -> keras.Model:
    """A network as quantization-aware training leaves it, its ranges in fake-quant nodes."""
    quantize = tf.quantization.fake_quant_with_min_max_args
    image = keras.Input((SIDE_PX, SIDE_PX, 3), name="image")
    x = keras.layers.Lambda(lambda value: quantize(value, -1.0, 127 / 128))(image)
    convolutions = [
        FakeQuantConv(8, depthwise=False, per_channel=per_channel),
        FakeQuantConv(8, depthwise=True, per_channel=per_channel),
        FakeQuantConv(len(CLASSES), depthwise=False, per_channel=per_channel),
    ]
    for convolution in convolutions:
        convolution.build((None, SIDE_PX, SIDE_PX, 3 if convolution is convolutions[0] else 8))
    rng = np.random.default_rng(1)
    for convolution in convolutions:
        convolution.kernel.assign(rng.normal(0, 0.4, convolution.kernel.shape))
        convolution.bias.assign(rng.normal(0, 0.5, convolution.bias.shape))
        convolution.freeze_range()
        x = convolution(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Lambda(lambda value: quantize(value, 0.0, 6.0))(x)
    return keras.Model(image, x, name="fake_quant")


@pytest.fixture(scope="session")
def make_tiny_model() -> Callable[..., keras.Model]:
    return build_tiny_model


@pytest.fixture(scope="session")
def make_fake_quant_model() -> Callable[..., keras.Model]:
    return build_fake_quant_model


@pytest.fixture(scope="session")
def randomise_weights() -> Callable[[keras.Model], None]:
    return randomise


@pytest.fixture(scope="session")
def tiny_model() -> keras.Model:
    return build_tiny_model()


@pytest.fixture(scope="session")
def fake_quant_model() -> keras.Model:
    return build_fake_quant_model()


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """120 uint8 images whose bytes reach neither 0 nor 255, so that calibration must."""
    rng = np.random.default_rng(2)
    return rng.integers(5, 240, (120, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def export(
    tiny_model: keras.Model, fake_quant_model: keras.Model, images: np.ndarray
) -> Callable[..., bytes]:
    """Return the file of a quantization, converted at the first request."""
    made: dict[tuple[str, str, bool], bytes] = {}

    def export_once(quantization: str, io_type: str = "int8", logits: bool = False) -> bytes:
        key = (quantization, io_type, logits)
        if key not in made:
            made[key] = convert(
                fake_quant_model if quantization == "int8_qat" else tiny_model,
                quantization=quantization,
                io_type=io_type,
                logits=logits,
                classes=CLASSES,
                description=f"tiny {quantization}",
                calibration_images=images[:16],
            )
        return made[key]

    return export_once


@pytest.fixture(scope="session")
def converter_file(tiny_model: keras.Model, images: np.ndarray) -> bytes:
    """The int8 file as the converter writes it, untouched by this project."""
    calibration = images[:16].copy()
    calibration[0].reshape(-1)[[0, -1]] = 0, 255  # as `convert` does, to be comparable
    image = keras.Input(batch_shape=(1, SIDE_PX, SIDE_PX, 3), name="image")
    converter = tf.lite.TFLiteConverter.from_keras_model(
        keras.Model(image, keras.layers.Softmax()(tiny_model(image, training=False)))
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [(image[np.newaxis].astype(np.float32) - 128) / 128] for image in calibration
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with quiet_stderr():
        return bytes(converter.convert())
