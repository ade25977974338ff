"""Biases as the file holds them: int32, in steps of the input's scale times the kernel's."""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow_model_optimization.python.core.quantization.keras.quantize_wrapper import (
    QuantizeWrapperV2,
)

from mobilenet_tf.keras import keras, tf, unwrap
from mobilenet_tf.quantization.folding import read_kernel
from mobilenet_tf.quantization.quantizers import measure_kernel_ranges
from mobilenet_tf.quantization.scheme import FUSABLE, output_quantizer

ACTIVATION_LEVELS = 255  # steps from the lowest to the highest of 256 values
KERNEL_LEVELS = 127  # steps from 0 to the end of a symmetric range
_HIGHEST = 2.0**31 - 1


def round_biases(model: Any) -> None:
    """Round the biases of a fake-quantized model to the file's int32 steps, in place.

    One step is the scale of the layer's input times that of the kernel's channel (Jacob 2018,
    arXiv 1712.05877, section 2.4); the converter rounds to the same. A layer whose input has no
    range keeps its bias. Of zeros before an added constant one moves by one step: the converter
    gives a vector of equal sums the first channel's scale alone.
    """
    for layer in model.layers:
        if not isinstance(layer, QuantizeWrapperV2) or getattr(layer.layer, "bias", None) is None:
            continue
        input_scale = find_input_scale(layer)
        if input_scale is None:
            continue
        steps = input_scale * find_kernel_scales(layer)
        bias = layer.layer.bias.numpy().astype(np.float64)
        rounded = np.clip(np.rint(bias / steps), -_HIGHEST, _HIGHEST)
        if not rounded.any() and is_shifted(layer):
            rounded[-1] = 1
        layer.layer.bias.assign(rounded * steps)


def is_shifted(layer: Any) -> bool:
    """Tell whether a constant is added to what a layer gives, which goes into its bias."""
    readers = [node.outbound_layer for node in layer.outbound_nodes]
    return any(type(unwrap(reader)).__name__ in FUSABLE for reader in readers)


def find_input_scale(layer: Any) -> float | None:
    """Return the scale of a layer's input: that of the range before it; None without one."""
    while not isinstance(layer.input, list):
        source = layer.input._keras_history.layer
        if source is layer:
            return None
        layer, quantizer = source, output_quantizer(source)
        if quantizer is not None:
            return (float(quantizer.high) - float(quantizer.low)) / ACTIVATION_LEVELS
    return None


def find_kernel_scales(layer: Any) -> np.ndarray:
    """Return the scale of each output channel of a wrapped convolution or dense layer."""
    kernel: Any = read_kernel(layer)
    if isinstance(layer.layer, keras.layers.DepthwiseConv2D):  # its outputs are the two last axes
        kernel = kernel.reshape(*kernel.shape[:2], -1)
    ranges = measure_kernel_ranges(tf.constant(kernel)).numpy()
    return ranges.astype(np.float64) / KERNEL_LEVELS
