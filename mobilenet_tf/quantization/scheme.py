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

from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
    default_8bit_quantize_configs,
)
from tensorflow_model_optimization.python.core.quantization.keras.quantize_wrapper import (
    QuantizeWrapperV2,
)

from mobilenet_tf.errors import UsageError
from mobilenet_tf.quantization.batch_norm import FoldedBatchNormalization
from mobilenet_tf.quantization.quantizers import (
    ActivationQuantizer,
    FixedQuantizer,
    KernelQuantizer,
)

KERNELS = {"Conv2D": "kernel", "Dense": "kernel", "DepthwiseConv2D": "depthwise_kernel"}
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


class _LayerQuantization(default_8bit_quantize_configs.NoOpQuantizeConfig):
    """What tfmot's wrapper asks: the quantizers of one layer's kernel and output, if any."""

    def __init__(
        self, output_quantizer: Any, kernel: str = "", kernel_quantizer: Any = None
    ) -> None:
        self.output_quantizer = output_quantizer
        self.kernel, self.kernel_quantizer = kernel, kernel_quantizer

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        return [(getattr(layer, self.kernel), self.kernel_quantizer)] if self.kernel else []

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        for weight in quantize_weights:
            setattr(layer, self.kernel, weight)

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        return [self.output_quantizer] if self.output_quantizer else []


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
    kernel = KERNELS.get(kind, "")
    ranged = norm is None and (kind in OUTPUTS or not feeds_activation(layer))
    config = _LayerQuantization(
        make_output_quantizer(layer) if ranged else None,
        kernel,
        KernelQuantizer(norm, depthwise=kernel == "depthwise_kernel"),
    )
    return QuantizeWrapperV2(rebuilt, config)


def quantize_norm(layer: Any, norm: FoldedBatchNormalization) -> Any:
    """Return the batch normalisation `norm`, which stands for `layer`, with the output's range."""
    if feeds_activation(layer):
        return norm
    return QuantizeWrapperV2(norm, _LayerQuantization(make_output_quantizer(layer)))


def make_output_quantizer(layer: Any) -> ActivationQuantizer | FixedQuantizer:
    """Return the quantizer of a layer's output: a range of its own, or the one TFLite fixes."""
    fixed = FIXED.get(_name_activation(layer))
    return FixedQuantizer(*fixed) if fixed else ActivationQuantizer(positive=ends_in_relu(layer))


def _name_activation(layer: Any) -> str:
    """Return the function's name of an `Activation`; "" of another layer."""
    return layer.activation.__name__ if type(layer).__name__ == "Activation" else ""


def ends_in_relu(layer: Any) -> bool:
    """Tell whether a layer is a ReLU or ReLU6: no output below 0, and fused where it can be."""
    plain = type(layer).__name__ == "ReLU" and not layer.negative_slope and not layer.threshold
    clean = plain and layer.max_value in (None, 6.0)
    return clean or _name_activation(layer) in ("relu", "relu6")


def feeds_activation(layer: Any) -> bool:
    """Tell whether the only reader of a layer is an activation that the file fuses into it."""
    readers = [node.outbound_layer for node in layer.outbound_nodes]
    if len(readers) != 1:
        return False
    (reader,) = readers
    return feeds_activation(reader) if type(reader).__name__ in FUSABLE else ends_in_relu(reader)


def output_quantizer(layer: Any) -> ActivationQuantizer | FixedQuantizer | None:
    """Return the quantizer of a quantized model's layer's output, None without one."""
    holder = getattr(layer, "quantize_config", layer)  # the input's has no wrapper
    return getattr(holder, "output_quantizer", None)


def activation_quantizers(model: Any) -> list[ActivationQuantizer]:
    """Return the quantizers of a quantized model's activations whose range is its own."""
    quantizers = map(output_quantizer, model.layers)
    return [found for found in quantizers if isinstance(found, ActivationQuantizer)]
