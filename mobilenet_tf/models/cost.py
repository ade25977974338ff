"""What a model costs, counted from its table: parameters, multiply-accumulates, bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mobilenet_tf.models.assembly import Assembler
from mobilenet_tf.models.options import Options
from mobilenet_tf.models.variant import Variant, make_variant

Shape = tuple[int, int, int]  # height, width, channels


@dataclass(frozen=True)
class LayerCost:
    """One layer with weights, under its Keras name; folded counts are without batch norm."""

    name: str
    output_shape: Shape
    parameters: int
    trainable_parameters: int
    macs: int = 0
    folded_weights: int = 0
    folded_biases: int = 0

    @property
    def int8_bytes(self) -> int:
        """Weights at 1 byte and int32 biases after folding."""
        return self.folded_weights + 4 * self.folded_biases


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
    def channels(self) -> int:
        """Outputs of all layers with weights: in an int8 file each has a scale and a bias."""
        return sum(layer.folded_biases for layer in self.layers)

    @property
    def float32_bytes(self) -> int:
        """Weights and biases after folding, 4 bytes each; the file's graph comes on top."""
        return sum(4 * (layer.folded_weights + layer.folded_biases) for layer in self.layers)

    @property
    def int8_bytes(self) -> int:
        """Weights at 1 byte and int32 biases after folding; graph and scales come on top."""
        return sum(layer.int8_bytes for layer in self.layers)


def count_costs(
    name: str,
    *,
    alpha: float,
    resolution_px: int | tuple[int, int],
    classes: int,
    stride_plan: str,
    options: Options | None = None,
) -> Cost:
    """Count the costs of a model by its name: arguments and errors as in `make_variant`."""
    variant = make_variant(
        name,
        alpha=alpha,
        resolution_px=resolution_px,
        classes=classes,
        stride_plan=stride_plan,
        options=options,
    )
    return count_variant_costs(variant)


def count_variant_costs(variant: Variant) -> Cost:
    """Count a variant's parameters and multiply-accumulates (of convolutions, as the papers do).

    Agrees with the tables of arXiv 1704.04861, 1801.04381 and 1905.02244, and, to within 10 %, with
    2404.10518, which prints tenths of a billion.
    """
    counter = _Counter()
    Assembler(variant, counter).run(variant.input_shape)
    return Cost(tuple(counter.layers))


class _Counter:
    """`assembly.Ops` on shapes: writes down what every layer with weights costs."""

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
        self.layers.append(LayerCost(name, x, parameters=4 * x[2], trainable_parameters=2 * x[2]))
        return x

    def activate(self, x: Shape, name: str, activation: str) -> Shape:
        return x

    def add(self, x: Shape, other: Shape, name: str) -> Shape:
        return x

    def multiply(self, x: Shape, gate: Shape, name: str) -> Shape:
        return x

    def max_pool(self, x: Shape, name: str, size_px: int, stride: int) -> Shape:
        return (*_strided(x, stride), x[2])

    def global_pool(self, x: Shape, name: str) -> Shape:
        return (1, 1, x[2])

    def dropout(self, x: Shape, name: str, rate: float) -> Shape:
        return x

    def drop_path(self, x: Shape, name: str, rate: float) -> Shape:
        return x

    def flatten(self, x: Shape, name: str) -> Shape:
        return x

    def _add(self, name: str, weights: int, output: Shape, biases: int = 0) -> Shape:
        self.layers.append(
            LayerCost(
                name,
                output,
                parameters=weights + biases,
                trainable_parameters=weights + biases,
                macs=weights * output[0] * output[1],
                folded_weights=weights,
                folded_biases=output[2],
            )
        )
        return output


def _strided(shape: Shape, stride: int) -> tuple[int, int]:
    """Return the sides after a stride with "same" padding: divided, rounded up."""
    return math.ceil(shape[0] / stride), math.ceil(shape[1] / stride)
