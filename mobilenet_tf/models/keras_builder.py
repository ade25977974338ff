"""Keras models built from the tables: one function a block kind."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobilenet_tf.errors import UsageError
from mobilenet_tf.keras import keras
from mobilenet_tf.models.blocks import (
    SMALL_SIDE_PX,
    ConvBlock,
    DepthwiseSeparableBlock,
    PooledClassifier,
)
from mobilenet_tf.models.dropout import SeededDropout
from mobilenet_tf.models.variant import IMAGE_CHANNELS, Variant, make_variant
from mobilenet_tf.models.weights import load_weights

BATCH_NORM_EPSILON = 1e-3  # as tf_keras.applications


@dataclass(frozen=True)
class _Plan:
    """What the block functions share."""

    variant: Variant
    dropout: float
    activation: str | None
    batch_norm_momentum: float
    seed: int | None

    def layer_seed(self, layer: str) -> int | None:
        """Return a seed of the layer's own, so that no two layers start alike."""
        return None if self.seed is None else zlib.crc32(f"{self.seed}/{layer}".encode())


def build_model(
    name: str,
    *,
    alpha: float,
    resolution_px: int | tuple[int, int],
    classes: int,
    stride_plan: str,
    dropout: float = 1e-3,
    activation: str | None = None,
    batch_size: int | None = None,
    batch_norm_momentum: float = 0.99,
    seed: int | None = None,
) -> keras.Model:
    """Build a functional Keras model from its table.

    The input, named "image", is (batch, height, width, 3) float32, normalised as
    (byte - 128) / 128; the output is (batch, classes) float32, logits unless `activation` is
    given. Kernels start from Glorot's distribution, depthwise ones from He's. Layers have the
    names that tf_keras.applications gives them.

    Args:
        name: a name of `catalog.model_names()`.
        alpha: width multiplier, in (0, 1.5].
        resolution_px: side of the square input, or (height, width).
        classes: number of outputs.
        stride_plan: "cifar" or "imagenet"; see `blocks.Strides`.
        dropout: share of the pooled features set to 0 in training, in [0, 1).
        activation: name of the Keras activation after the logits, or None.
        batch_size: a fixed batch size, or None for any.
        batch_norm_momentum: share of the old moving statistics kept at each step, in [0, 1).
        seed: makes initial weights and dropout repeatable; None takes Keras' global generators.

    Raises:
        UsageError: an argument is out of its range.
    """
    variant = make_variant(
        name, alpha=alpha, resolution_px=resolution_px, classes=classes, stride_plan=stride_plan
    )
    _check_share("dropout", dropout)
    _check_share("batch_norm_momentum", batch_norm_momentum)
    _check_activation(activation)
    plan = _Plan(variant, dropout, activation, batch_norm_momentum, seed)
    image = keras.Input(variant.input_shape, batch_size=batch_size, name="image")
    x = image
    for block in variant.table.blocks:
        x = _BUILDERS[type(block)](block, x, plan)
    return keras.Model(image, x, name=variant.name)


def MobileNetV1(  # noqa: N802  # named as Keras names its applications
    input_shape: tuple[int, int, int] = (224, 224, IMAGE_CHANNELS),
    *,
    alpha: float = 1.0,
    classes: int = 1000,
    weights: str | Path | None = None,
    stride_plan: str | None = None,
    dropout: float = 1e-3,
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """Build MobileNetV1 in the manner of tf_keras.applications.

    Input (batch, height, width, 3) float32, normalised as (byte - 128) / 128; output
    (batch, classes). arXiv 1704.04861, table 1.

    Args:
        input_shape: height, width and 3.
        alpha: width multiplier, in (0, 1.5].
        classes: number of outputs.
        weights: a .safetensors file that this project wrote, or None for a random start.
        stride_plan: "cifar" or "imagenet"; None takes "cifar" when a side is below 96 pixels.
        dropout: share of the pooled features set to 0 in training, in [0, 1).
        classifier_activation: name of a Keras activation; None returns logits.

    Raises:
        UsageError: an argument is out of its range.
        MtfError: the weights file is damaged or belongs to another variant.
    """
    input_shape_ok = isinstance(input_shape, (tuple, list)) and len(input_shape) == 3
    if not input_shape_ok or input_shape[2] != IMAGE_CHANNELS:
        raise UsageError(
            f"input_shape {input_shape!r} is not (height, width, {IMAGE_CHANNELS}); "
            "repeat a grey picture three times"
        )
    if weights == "imagenet":
        raise UsageError(
            "weights 'imagenet' do not come with this project; give a .safetensors file, or build "
            "tf_keras.applications.MobileNet with its weights and use "
            "mobilenet_tf.models.weights.copy_weights"
        )
    height_px, width_px, _ = input_shape
    if stride_plan is None:
        # A side that is no number goes on to make_variant, which says so.
        numeric = all(isinstance(side, int) for side in (height_px, width_px))
        small = numeric and min(height_px, width_px) < SMALL_SIDE_PX
        stride_plan = "cifar" if small else "imagenet"
    model = build_model(
        "mobilenet_v1",
        alpha=alpha,
        resolution_px=(height_px, width_px),
        classes=classes,
        stride_plan=stride_plan,
        dropout=dropout,
        activation=classifier_activation,
    )
    if weights is not None:
        load_weights(model, Path(weights))
    return model


def _build_conv_block(block: ConvBlock, x: Any, plan: _Plan) -> Any:
    stride = block.strides.under(plan.variant.stride_plan)
    return _conv_bn_relu6(
        x, plan, block.name, filters=block.filters, kernel_px=block.kernel_px, stride=stride
    )


def _build_separable_block(block: DepthwiseSeparableBlock, x: Any, plan: _Plan) -> Any:
    depthwise, pointwise = f"conv_dw_{block.index}", f"conv_pw_{block.index}"
    x = keras.layers.DepthwiseConv2D(
        block.kernel_px,
        strides=block.strides.under(plan.variant.stride_plan),
        padding="same",
        use_bias=False,
        depthwise_initializer=_he_depthwise(plan.layer_seed(depthwise)),
        name=depthwise,
    )(x)
    x = _bn_relu6(x, plan, depthwise)
    return _conv_bn_relu6(x, plan, pointwise, filters=block.filters, kernel_px=1, stride=1)


def _build_classifier(block: PooledClassifier, x: Any, plan: _Plan) -> Any:
    classes = plan.variant.classes
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="global_average_pooling2d")(x)
    seed = plan.layer_seed("dropout")
    if seed is None:
        seed = int(np.random.randint(2**31))  # follows keras.utils.set_random_seed
    x = SeededDropout(plan.dropout, seed, name="dropout")(x)
    x = keras.layers.Conv2D(
        classes, 1, kernel_initializer=_glorot(plan.layer_seed(block.name)), name=block.name
    )(x)
    # float32 by name: under a mixed precision policy losses and softmax must not see float16.
    x = keras.layers.Reshape((classes,), name="reshape_2", dtype="float32")(x)
    if plan.activation is None:
        return x
    return keras.layers.Activation(plan.activation, name="predictions", dtype="float32")(x)


def _conv_bn_relu6(
    x: Any, plan: _Plan, name: str, *, filters: int, kernel_px: int, stride: int
) -> Any:
    x = keras.layers.Conv2D(
        plan.variant.channels(filters),
        kernel_px,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=_glorot(plan.layer_seed(name)),
        name=name,
    )(x)
    return _bn_relu6(x, plan, name)


def _bn_relu6(x: Any, plan: _Plan, name: str) -> Any:
    x = keras.layers.BatchNormalization(
        momentum=plan.batch_norm_momentum, epsilon=BATCH_NORM_EPSILON, name=f"{name}_bn"
    )(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)


def _glorot(seed: int | None) -> Any:
    """Glorot and Bengio 2010, equation 16."""
    return keras.initializers.GlorotUniform(seed=seed)


def _he_depthwise(seed: int | None) -> Any:
    """He et al. 2015, equation 10, for a depthwise kernel: variance 2 / (height * width).

    An output pixel sums height * width products. Keras takes the fan-in of the kernel's shape
    (height, width, channels, 1) to be channels times that, and its fan-out to be what is wanted.
    """
    return keras.initializers.VarianceScaling(
        scale=2.0, mode="fan_out", distribution="truncated_normal", seed=seed
    )


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise UsageError(f"{name} {value!r} is not in [0, 1)")


def _check_activation(activation: str | None) -> None:
    try:
        keras.activations.get(activation)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"unknown activation {activation!r}; use a Keras name such as 'softmax', or None"
        ) from error


_BUILDERS: dict[type, Callable[..., Any]] = {
    ConvBlock: _build_conv_block,
    DepthwiseSeparableBlock: _build_separable_block,
    PooledClassifier: _build_classifier,
}
