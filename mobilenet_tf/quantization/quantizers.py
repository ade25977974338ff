"""Fake quantization for tensorflow-model-optimization, without its redundant work.

Kernels: symmetric, one range a channel, depthwise kernels too (tfmot has one for the whole
tensor). The range is the kernel's own, computed where it is used: no variable to assign, and
never a stale one. Activations: one range a tensor, calibrated, followed by a moving average while
it is observed, then frozen. Gradients pass straight through inside the range and stop outside
(Jacob 2018, arXiv 1712.05877, section 3; Krishnamoorthi 2018, arXiv 1806.08342, section 3).
"""

from __future__ import annotations

from typing import Any, Literal

from tensorflow_model_optimization.quantization.keras.quantizers import Quantizer

from mobilenet_tf.keras import keras, largest_over_workers, tf
from mobilenet_tf.quantization.batch_norm import FoldedBatchNormalization

MOVING_AVERAGE = 0.99
SMALLEST_RANGE_SHARE = 2.0**-16
"""The least range of a channel, as a share of the layer's widest: a channel of zeros has a scale
and its bias still fits 32 bits."""

Mode = Literal["calibrate", "observe", "frozen"]


@tf.custom_gradient
def quantize_activation(values: Any, low: Any, high: Any) -> Any:
    """Round to the 256 levels of [low, high]; the gradient is 1 inside and 0 outside."""
    rounded = tf.quantization.fake_quant_with_min_max_vars(values, low, high, num_bits=8)

    def gradient(upstream: Any) -> tuple[Any, None, None]:
        inside = tf.logical_and(values >= low, values <= high)
        return tf.where(inside, upstream, tf.zeros_like(upstream)), None, None

    return rounded, gradient


@tf.custom_gradient
def quantize_kernel(kernel: Any) -> Any:
    """Round to 255 levels, symmetric about 0, one range for each index of the last axis."""
    widest = measure_kernel_ranges(kernel)
    rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        kernel, -widest, widest, num_bits=8, narrow_range=True
    )
    return rounded, lambda upstream: upstream  # nothing lies outside its own range


def measure_kernel_ranges(kernel: Any) -> Any:
    """Return the range, from 0 to its end, of each index of a kernel's last axis."""
    widest = tf.reduce_max(tf.abs(kernel), axis=list(range(kernel.shape.rank - 1)))
    widest = tf.maximum(widest, tf.reduce_max(widest) * SMALLEST_RANGE_SHARE)
    return tf.maximum(widest, 1e-30)


@tf.custom_gradient
def quantize_positive(values: Any, high: Any) -> Any:
    """Round values that are not below 0 to the 256 levels of [0, high], at one pass less."""
    rounded = tf.quantization.fake_quant_with_min_max_vars(values, 0.0, high, num_bits=8)

    def gradient(upstream: Any) -> tuple[Any, None]:
        return tf.where(values <= high, upstream, tf.zeros_like(upstream)), None

    return rounded, gradient


class _Stateless(Quantizer):
    """A quantizer without variables; a quantized model is rebuilt from its float one."""

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        return {}

    def get_config(self) -> dict[str, Any]:
        return {}


class KernelQuantizer(_Stateless):
    """Per-channel kernels (h, w, in, out) or (in, out), `depthwise` (h, w, channels, multiplier).

    `norm` is the batch normalisation whose gain goes into the kernel before it is rounded.
    """

    def __init__(
        self, norm: FoldedBatchNormalization | None = None, *, depthwise: bool = False
    ) -> None:
        self.norm, self.depthwise = norm, depthwise

    def __call__(self, inputs: Any, training: Any, weights: Any, **kwargs: Any) -> Any:
        """Return the kernel, folded if there is a norm, on its 8-bit grid."""
        kernel = tf.reshape(inputs, (*inputs.shape[:2], -1)) if self.depthwise else inputs
        rounded = quantize_kernel(kernel if self.norm is None else kernel * self.norm.gain())
        return tf.reshape(rounded, inputs.shape) if self.depthwise else rounded


class ActivationQuantizer(_Stateless):
    """Per-tensor activations; `positive` ones, a ReLU's, have a range that starts at 0."""

    low: Any
    high: Any

    def __init__(self, *, positive: bool = False) -> None:
        self.mode: Mode = "calibrate"
        self.positive = positive

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Return the variables of the range; 0 is always in it, as int8 needs."""
        bounds = {
            bound: layer.add_weight(
                name=f"{name}_{bound}", shape=(), initializer="zeros", trainable=False
            )
            for bound in ("min", "max")
        }
        self.low, self.high = bounds.values()
        return bounds

    def __call__(self, inputs: Any, training: Any, weights: Any, **kwargs: Any) -> Any:
        """Return the activations on their 8-bit grid; while calibrating, as they are."""
        if self.mode == "calibrate":
            self.low.assign(tf.minimum(self.low, tf.reduce_min(inputs)))
            self.high.assign(tf.maximum(self.high, tf.reduce_max(inputs)))
            return tf.identity(inputs)
        if self.mode == "observe" and training:
            follow(self.high, largest_over_workers(tf.maximum(tf.reduce_max(inputs), 0.0)))
            if not self.positive:
                lowest = tf.minimum(tf.reduce_min(inputs), 0.0)
                follow(self.low, -largest_over_workers(-lowest))
        if self.positive:
            return quantize_positive(inputs, self.high)
        return quantize_activation(inputs, self.low, self.high)


def follow(bound: Any, seen: Any) -> None:
    """Move a range's bound towards the batch's; a bound of 0 says nothing about it."""
    moved = bound * MOVING_AVERAGE + seen * (1 - MOVING_AVERAGE)
    bound.assign(tf.where(tf.equal(seen, 0.0), bound, moved))


class FixedQuantizer(_Stateless):
    """Per-tensor activations in a range that TFLite prescribes for the op."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, inputs: Any, training: Any, weights: Any, **kwargs: Any) -> Any:
        """Return the activations on their 8-bit grid."""
        return quantize_activation(inputs, self.low, self.high)


class ImageQuantization(keras.layers.Layer):
    """The input's fixed range: exactly the 256 values of (byte - 128) / 128."""

    output_quantizer = FixedQuantizer(-1.0, 127 / 128)

    def call(self, inputs: Any) -> Any:
        """Return the images on their 8-bit grid."""
        return self.output_quantizer(inputs, training=False, weights={})
