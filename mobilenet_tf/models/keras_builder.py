"""Keras models built from the tables."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from mobilenet_tf.errors import UsageError
from mobilenet_tf.keras import keras
from mobilenet_tf.models.activations import Scale, Shift
from mobilenet_tf.models.assembly import Assembler, Ops
from mobilenet_tf.models.batch_norm import BatchNormalization
from mobilenet_tf.models.dropout import SeededDropout, StochasticDepth
from mobilenet_tf.models.variant import Variant
from mobilenet_tf.recipe import check_setting

BATCH_NORM_EPSILON = 1e-3  # as tf_keras.applications
_CONVOLUTION = {"padding": "same", "use_bias": False}


def build_variant(
    variant: Variant,
    *,
    dropout: float | None = None,
    activation: str | None = None,
    batch_size: int | None = None,
    batch_norm_momentum: float = 0.99,
    seed: int | None = None,
) -> keras.Model:
    """Build the functional Keras model of a checked variant.

    The input, named "image", is (batch, height, width, 3) float32, normalised as
    (byte - 128) / 128; the output is (batch, classes) float32, logits unless `activation` is
    given. Layers have the names that tf_keras.applications gives them.

    Args:
        variant: what to build.
        dropout: rate before the classifier (of AlexNet: before fc7 too); None is the table's.
        activation: name of the Keras activation after the logits, or None.
        batch_size: a fixed batch size, or None for any.
        batch_norm_momentum: share of the old moving statistics kept at each step.
        seed: makes initial weights and dropout repeatable; None takes Keras' global generators.

    Raises:
        UsageError: an argument is out of its range.
    """
    dropout = variant.table.dropout if dropout is None else dropout
    check_setting("model.dropout", dropout)
    check_setting("model.batch_norm_momentum", batch_norm_momentum)
    try:
        keras.activations.get(activation)
    except (TypeError, ValueError) as error:
        raise UsageError(f"unknown activation {activation!r}; use a Keras name or None") from error
    image = keras.Input(variant.input_shape, batch_size=batch_size, name="image")
    x = Assembler(variant, _KerasOps(seed, batch_norm_momentum), dropout).run(image)
    if activation is not None:
        x = keras.layers.Activation(activation, name="predictions", dtype="float32")(x)
    return keras.Model(image, x, name=variant.name)


class _KerasOps(Ops[Any]):
    """Builds layers."""

    def __init__(self, seed: int | None, batch_norm_momentum: float) -> None:
        self.seed, self.momentum = seed, batch_norm_momentum

    def layer_seed(self, layer: str) -> int | None:
        """Return a seed of the layer's own, so that no two layers start alike."""
        return None if self.seed is None else zlib.crc32(f"{self.seed}/{layer}".encode())

    def drop_seed(self, layer: str) -> int:
        seed = self.layer_seed(layer)  # else as keras.utils.set_random_seed says
        return int(np.random.randint(2**31)) if seed is None else seed

    def glorot(self, layer: str) -> Any:
        """Glorot and Bengio 2010, equation 16."""
        return keras.initializers.GlorotUniform(seed=self.layer_seed(layer))

    def he_depthwise(self, layer: str) -> Any:
        """He et al. 2015, equation 10, for a depthwise kernel: variance 2 / (height * width).

        Keras' fan-in of (height, width, channels, 1) is channels times too large, its fan-out
        right.
        """
        return keras.initializers.VarianceScaling(
            2.0, "fan_out", "truncated_normal", seed=self.layer_seed(layer)
        )

    def channels(self, x: Any) -> int:
        return int(x.shape[-1])

    def conv(self, x: Any, name: str, filters: int, kernel_px: int, stride: int) -> Any:
        start = {"kernel_initializer": self.glorot(name)}
        return keras.layers.Conv2D(filters, kernel_px, stride, **_CONVOLUTION, **start, name=name)(
            x
        )

    def depthwise(self, x: Any, name: str, kernel_px: int, stride: int) -> Any:
        start = {"depthwise_initializer": self.he_depthwise(name)}
        return keras.layers.DepthwiseConv2D(kernel_px, stride, **_CONVOLUTION, **start, name=name)(
            x
        )

    def dense(self, x: Any, name: str, units: int) -> Any:
        return keras.layers.Conv2D(
            units, x.shape[1:3], kernel_initializer=self.glorot(name), name=name
        )(x)

    def norm(self, x: Any, name: str) -> Any:
        return BatchNormalization(momentum=self.momentum, epsilon=BATCH_NORM_EPSILON, name=name)(x)

    def activate(self, x: Any, name: str, activation: str) -> Any:
        if activation == "hard_swish":
            # In this order the converter does not make HARD_SWISH of it, for which XNNPACK has no
            # int8 kernel; ADD, MUL and MUL are as quick as one op there.
            product = keras.layers.Multiply(name=f"{name}_product")([_shifted_relu6(x, name), x])
            return Scale(1 / 6, name=name)(product)
        if activation == "silu":  # Ramachandran 2017, arXiv 1710.05941, with beta 1
            gate = keras.layers.Activation("sigmoid", name=f"{name}_sigmoid")(x)
            return keras.layers.Multiply(name=name)([x, gate])
        if activation == "hard_sigmoid":
            return Scale(1 / 6, name=name)(_shifted_relu6(x, name))
        return keras.layers.ReLU(6.0 if activation == "relu6" else None, name=name)(x)

    def add(self, x: Any, other: Any, name: str) -> Any:
        return keras.layers.Add(name=name)([x, other])

    def multiply(self, x: Any, gate: Any, name: str) -> Any:
        return keras.layers.Multiply(name=name)([x, gate])

    def max_pool(self, x: Any, name: str, size_px: int, stride: int) -> Any:
        return keras.layers.MaxPooling2D(size_px, stride, padding="same", name=name)(x)

    def global_pool(self, x: Any, name: str) -> Any:
        return keras.layers.GlobalAveragePooling2D(keepdims=True, name=name)(x)

    def dropout(self, x: Any, name: str, rate: float) -> Any:
        return SeededDropout(rate, self.drop_seed(name), name=name)(x)

    def drop_path(self, x: Any, name: str, rate: float) -> Any:
        return StochasticDepth(rate, self.drop_seed(name), name=name)(x)

    def flatten(self, x: Any, name: str) -> Any:
        # float32 by name: under a mixed precision policy losses and softmax must not see float16.
        return keras.layers.Reshape((int(x.shape[-1]),), name=name, dtype="float32")(x)


def _shifted_relu6(x: Any, name: str) -> Any:
    """Return relu6(x + 3), six times the hard sigmoid (arXiv 1905.02244, section 5.2)."""
    return keras.layers.ReLU(6.0, name=f"{name}_relu6")(Shift(3.0, name=f"{name}_shift")(x))
