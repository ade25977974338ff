"""What a model costs, counted from its table: parameters, multiply-accumulates, bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from mobilenet_tf.models.assembly import Assembler, Ops
from mobilenet_tf.models.variant import Variant

Shape = tuple[int, int, int]  # height, width, channels


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a layer or a model costs; what is folded is without batch norm.

    `parameters` are all weights, batch normalization's moving statistics included, as Keras counts,
    `trainable_parameters` those that gradients change. `macs` are multiply-accumulates for one
    image, the papers' "Mult-Adds". Each of the `channels` that layers with weights give has a bias
    once folded, and a scale too in an int8 file.
    """

    parameters: int = 0
    trainable_parameters: int = 0
    macs: int = 0
    folded_weights: int = 0
    channels: int = 0

    @property
    def float32_bytes(self) -> int:
        """Weights and biases after folding, 4 bytes each; the file's graph comes on top."""
        return 4 * (self.folded_weights + self.channels)

    @property
    def int8_bytes(self) -> int:
        """Weights at 1 byte and int32 biases after folding; graph and scales come on top."""
        return self.folded_weights + 4 * self.channels


@dataclass(frozen=True, kw_only=True)
class LayerCost(Cost):
    """One layer with weights, under its Keras name."""

    name: str
    output_shape: Shape


@dataclass(frozen=True, kw_only=True)
class ModelCost(Cost):
    """A model's cost, layer by layer and in sum."""

    layers: tuple[LayerCost, ...]


def count_costs(variant: Variant) -> ModelCost:
    """Count a variant's parameters and multiply-accumulates (of convolutions, as the papers do).

    Agrees with the tables of arXiv 1704.04861, 1801.04381 and 1905.02244, and, to within 10 %, with
    2404.10518, which prints tenths of a billion.
    """
    counter = CostCounter()
    Assembler(variant, counter).run(variant.input_shape)
    layers = tuple(counter.layers)
    names = [field.name for field in fields(Cost)]
    sums = {name: sum(getattr(layer, name) for layer in layers) for name in names}
    return ModelCost(layers=layers, **sums)


class CostCounter(Ops[Shape]):
    """Writes down what every layer with weights costs."""

    def __init__(self) -> None:
        self.layers: list[LayerCost] = []

    def channels(self, x: Shape) -> int:
        return x[2]

    def conv(self, x: Shape, name: str, filters: int, kernel_px: int, stride: int) -> Shape:
        return self._add(name, kernel_px**2 * x[2] * filters, (*_strided(x, stride), filters))

    def depthwise(self, x: Shape, name: str, kernel_px: int, stride: int) -> Shape:
        return self._add(name, kernel_px**2 * x[2], (*_strided(x, stride), x[2]))

    def dense(self, x: Shape, name: str, units: int) -> Shape:
        return self._add(name, math.prod(x) * units, (1, 1, units), biases=units)

    def norm(self, x: Shape, name: str) -> Shape:
        # gamma and beta are trained; mean and variance are counted along
        counts = {"parameters": 4 * x[2], "trainable_parameters": 2 * x[2]}
        self.layers.append(LayerCost(name=name, output_shape=x, **counts))
        return x

    def max_pool(self, x: Shape, name: str, size_px: int, stride: int) -> Shape:
        return (*_strided(x, stride), x[2])

    def global_pool(self, x: Shape, name: str) -> Shape:
        return (1, 1, x[2])

    def _add(self, name: str, weights: int, output: Shape, biases: int = 0) -> Shape:
        self.layers.append(
            LayerCost(
                name=name,
                output_shape=output,
                parameters=weights + biases,
                trainable_parameters=weights + biases,
                macs=weights * output[0] * output[1],
                folded_weights=weights,
                channels=output[2],
            )
        )
        return output


def _strided(shape: Shape, stride: int) -> tuple[int, int]:
    """Return the sides after a stride with "same" padding: divided, rounded up."""
    return math.ceil(shape[0] / stride), math.ceil(shape[1] / stride)
