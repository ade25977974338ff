"""The quantize scheme: which layer gets which quantizers, for tfmot's wrapper.

| layer | kernel | output |
|---|---|---|
| convolution, dense | per channel | none before a ReLU or ReLU6, else per tensor |
| depthwise convolution | per channel | the same |
| a constant added (hard sigmoid's 3) | - | the same |
| ReLU, ReLU6, a constant factor | - | per tensor |
| average pooling, add, multiply | - | per tensor |
| sigmoid | - | TFLite's fixed one: scale 1/256, zero point -128 |
| reshape, dropout, stochastic depth, max pooling | - | none: values pass unchanged |

Only what the file computes in one op goes without a range in between: it fuses ReLU and ReLU6
into the convolution or the addition before them. Silu is two ops (LOGISTIC and MUL), a hard sigmoid
a convolution with ReLU6 and a MUL, hard-swish three (ADD of 3 with ReLU6, MUL, MUL by 1/6).

The input has the fixed range of bytes. The softmax, added at export, has TFLite's fixed output
(scale 1/256, zero point -128).
"""

from __future__ import annotations

from typing import Any

from tensorflow_model_optimization.python.core.quantization.keras.quantize_wrapper import (
    QuantizeWrapperV2,
)
from tensorflow_model_optimization.quantization.keras import QuantizeConfig

from mobilenet_tf.errors import UsageError
from mobilenet_tf.quantization.batch_norm import FoldedBatchNormalization
from mobilenet_tf.quantization.quantizers import (
    ActivationQuantizer,
    DepthwiseKernelQuantizer,
    FixedQuantizer,
    KernelQuantizer,
)

KERNELS = {
    "Conv2D": ("kernel", KernelQuantizer),
    "Dense": ("kernel", KernelQuantizer),
    "DepthwiseConv2D": ("depthwise_kernel", DepthwiseKernelQuantizer),
}
OUTPUTS = (
    "ReLU",
    "Activation",
    "Scale",
    "GlobalAveragePooling2D",
    "AveragePooling2D",
    "Add",
    "Multiply",
)
FUSABLE = ("Shift",)  # with KERNELS: no range before a fused activation
FIXED = {"sigmoid": (0.0, 255 / 256)}  # of `Activation`: ranges that TFLite prescribes
PASSING = (
    "InputLayer",
    "Reshape",
    "Flatten",
    "SeededDropout",
    "StochasticDepth",
    "Dropout",
    "MaxPooling2D",
    "ImageQuantization",
)
SUPPORTED = (*KERNELS, *FUSABLE, *OUTPUTS, *PASSING)


class LayerQuantization(QuantizeConfig):
    """What tfmot's wrapper asks: the quantizers of one layer's kernel and output."""

    def __init__(self, kernel: str | None, kernel_quantizer: Any, output_quantizer: Any) -> None:
        self.kernel = kernel
        self.kernel_quantizer = kernel_quantizer
        self.output_quantizer = output_quantizer

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        """Return the kernel and its quantizer."""
        return [(getattr(layer, self.kernel), self.kernel_quantizer)] if self.kernel else []

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        """Let the layer compute with the quantized kernel."""
        for weight in quantize_weights:
            setattr(layer, str(self.kernel), weight)

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        """Return nothing: activations are layers of their own here."""
        return []

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        """Do nothing: there are none."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """Return the quantizer of the output, if it has one."""
        return [self.output_quantizer] if self.output_quantizer else []

    def get_config(self) -> dict[str, Any]:
        """Return no settings: a quantized model is rebuilt from its float one."""
        return {}


def quantize_layer(layer: Any, norm: FoldedBatchNormalization | None = None) -> Any:
    """Return the layer, rebuilt and wrapped with what the scheme has for it.

    `norm` is the batch normalisation that reads a convolution: it goes into the kernel, and the
    range of the two is the norm's.

    Raises:
        UsageError: the scheme does not know the layer.
    """
    kind = type(layer).__name__
    rebuilt = type(layer).from_config(layer.get_config())
    if kind in PASSING:
        return rebuilt
    if kind not in SUPPORTED:
        raise UsageError(
            f"the layer {layer.name} ({kind}) cannot be quantized; layers that can:"
            f" {', '.join(sorted(SUPPORTED))}. Replace it, or export after training with"
            " --quantization float16"
        )
    kernel, make_quantizer = KERNELS.get(kind, (None, None))
    ranged = norm is None and (kind in OUTPUTS or not feeds_activation(layer))
    config = LayerQuantization(
        kernel,
        make_quantizer(norm) if make_quantizer else None,
        make_output_quantizer(layer) if ranged else None,
    )
    return QuantizeWrapperV2(rebuilt, config)


def quantize_norm(layer: Any, norm: FoldedBatchNormalization) -> Any:
    """Return the batch normalisation `norm`, which stands for `layer`, with the output's range."""
    if feeds_activation(layer):
        return norm
    return QuantizeWrapperV2(norm, LayerQuantization(None, None, make_output_quantizer(layer)))


def make_output_quantizer(layer: Any) -> Any:
    """Return the quantizer of a layer's output: a range of its own, or the one TFLite fixes."""
    if type(layer).__name__ == "Activation":
        fixed = FIXED.get(layer.activation.__name__)
        if fixed:
            return FixedQuantizer(*fixed)
    return ActivationQuantizer(positive=ends_in_relu(layer))


def ends_in_relu(layer: Any) -> bool:
    """Tell whether a layer is a ReLU or ReLU6: no output below 0, and fused where it can be."""
    kind = type(layer).__name__
    if kind == "Activation":
        return layer.activation.__name__ in ("relu", "relu6")
    plain = kind == "ReLU" and not layer.negative_slope and not layer.threshold
    return plain and layer.max_value in (None, 6.0)


def feeds_activation(layer: Any) -> bool:
    """Tell whether the only reader of a layer is an activation that the file fuses into it."""
    readers = [node.outbound_layer for node in layer.outbound_nodes]
    if len(readers) != 1:
        return False
    (reader,) = readers
    return feeds_activation(reader) if type(reader).__name__ in FUSABLE else ends_in_relu(reader)


def activation_quantizers(model: Any) -> list[ActivationQuantizer]:
    """Return the quantizers of a quantized model's activations whose range is its own."""
    return [
        quantizer
        for layer in model.layers
        if isinstance(layer, QuantizeWrapperV2)
        for quantizer in layer.quantize_config.get_output_quantizers(layer.layer)
        if isinstance(quantizer, ActivationQuantizer)
    ]
