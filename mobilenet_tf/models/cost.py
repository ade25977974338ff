"""What a model costs, counted from its table: parameters, multiply-accumulates, bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mobilenet_tf.models.blocks import ConvBlock, DepthwiseSeparableBlock, PooledClassifier
from mobilenet_tf.models.variant import Variant, make_variant

Shape = tuple[int, int, int]  # height, width, channels


@dataclass(frozen=True)
class LayerCost:
    """One layer with weights, under its Keras name.

    `folded_weights` and `folded_biases` are what is left for inference once batch normalization
    is folded into the convolution before it.
    """

    name: str
    output_shape: Shape
    parameters: int
    trainable_parameters: int
    macs: int = 0
    folded_weights: int = 0
    folded_biases: int = 0


@dataclass(frozen=True)
class Cost:
    """A model's cost, layer by layer and in sum."""

    layers: tuple[LayerCost, ...]

    @property
    def parameters(self) -> int:
        """All weights, batch normalization's moving statistics included, as Keras counts."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def trainable_parameters(self) -> int:
        """The weights that gradients change."""
        return sum(layer.trainable_parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image: the papers' "Mult-Adds"."""
        return sum(layer.macs for layer in self.layers)

    @property
    def float32_bytes(self) -> int:
        """Weights and biases after folding, 4 bytes each; the file's graph comes on top."""
        return sum(4 * (layer.folded_weights + layer.folded_biases) for layer in self.layers)

    @property
    def int8_bytes(self) -> int:
        """Weights at 1 byte and int32 biases after folding; graph and scales come on top."""
        return sum(layer.folded_weights + 4 * layer.folded_biases for layer in self.layers)


def count_costs(
    name: str,
    *,
    alpha: float,
    resolution_px: int | tuple[int, int],
    classes: int,
    stride_plan: str,
) -> Cost:
    """Count a model's parameters and multiply-accumulates (convolutions only, as the papers do).

    Agrees with arXiv 1704.04861, tables 4, 6 and 7. Arguments as in `make_variant`.

    Raises:
        UsageError: an argument is out of its range.
    """
    variant = make_variant(
        name,
        alpha=alpha,
        resolution_px=resolution_px,
        classes=classes,
        stride_plan=stride_plan,
    )
    shape: Shape = variant.input_shape
    layers: list[LayerCost] = []
    for block in variant.table.blocks:
        layers += _COUNTERS[type(block)](block, shape, variant)
        shape = layers[-1].output_shape
    return Cost(tuple(layers))


def _count_conv_block(block: ConvBlock, shape: Shape, variant: Variant) -> Iterator[LayerCost]:
    filters = variant.channels(block.filters)
    stride = block.strides.under(variant.stride_plan)
    yield from _conv_with_norm(block.name, shape, filters, block.kernel_px, stride)


def _count_separable_block(
    block: DepthwiseSeparableBlock, shape: Shape, variant: Variant
) -> Iterator[LayerCost]:
    stride = block.strides.under(variant.stride_plan)
    height, width, channels = _strided(shape, stride)
    weights = block.kernel_px**2 * channels
    yield LayerCost(
        f"conv_dw_{block.index}",
        (height, width, channels),
        parameters=weights,
        trainable_parameters=weights,
        macs=weights * height * width,
        folded_weights=weights,
        folded_biases=channels,
    )
    yield _norm(f"conv_dw_{block.index}_bn", (height, width, channels))
    filters = variant.channels(block.filters)
    yield from _conv_with_norm(f"conv_pw_{block.index}", (height, width, channels), filters, 1, 1)


def _count_classifier(
    block: PooledClassifier, shape: Shape, variant: Variant
) -> Iterator[LayerCost]:
    weights = shape[2] * variant.classes
    yield LayerCost(
        block.name,
        (1, 1, variant.classes),
        parameters=weights + variant.classes,
        trainable_parameters=weights + variant.classes,
        macs=weights,
        folded_weights=weights,
        folded_biases=variant.classes,
    )


def _conv_with_norm(
    name: str, shape: Shape, filters: int, kernel_px: int, stride: int
) -> Iterator[LayerCost]:
    height, width, channels = _strided(shape, stride)
    weights = kernel_px**2 * channels * filters
    yield LayerCost(
        name,
        (height, width, filters),
        parameters=weights,
        trainable_parameters=weights,
        macs=weights * height * width,
        folded_weights=weights,
        folded_biases=filters,
    )
    yield _norm(f"{name}_bn", (height, width, filters))


def _norm(name: str, shape: Shape) -> LayerCost:
    channels = shape[2]  # gamma and beta are trained; mean and variance are counted along
    return LayerCost(name, shape, parameters=4 * channels, trainable_parameters=2 * channels)


def _strided(shape: Shape, stride: int) -> Shape:
    """Return the shape after a stride with "same" padding: the sides divided, rounded up."""
    height, width, channels = shape
    return math.ceil(height / stride), math.ceil(width / stride), channels


_COUNTERS: dict[type, Callable[..., Iterator[LayerCost]]] = {
    ConvBlock: _count_conv_block,
    DepthwiseSeparableBlock: _count_separable_block,
    PooledClassifier: _count_classifier,
}
