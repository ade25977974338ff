"""Block kinds: the vocabulary in which a paper's table is written down; no TensorFlow.

A model is a tuple of these rows. A row is called with the assembler and a tensor and says what it
computes; costs and Keras layers both come from that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from mobilenet_tf.recipe import ActivationName, StridePlan

if TYPE_CHECKING:
    from mobilenet_tf.models.assembly import Assembler, T

POOLING = "global_average_pooling2d"  # over the whole image, before the head
SMALL_SIDE_PX = 96  # below three of the imagenet plan's 32-pixel strides, little is left to pool

Scaling = Literal["alpha", "input", "widen", "fixed"]
"""How alpha changes a row's channels: in proportion; in the table's ratio to its input's; only
above 1, where the papers keep the last layers wide; not at all."""


@dataclass(frozen=True)
class Strides:
    """A number of one row, most often its stride, under each plan.

    `imagenet` is the paper's column, made for inputs of 128 to 224 pixels. `cifar` keeps the full
    resolution in the stem and the first rows, for inputs around 32 pixels; `late`, which is `cifar`
    unless given, until the second row that would stride.
    """

    imagenet: int
    cifar: int
    late: int = 0

    def under(self, plan: StridePlan) -> int:
        """Return this row's number under `plan`."""
        if plan == "imagenet":
            return self.imagenet
        return self.late or self.cifar if plan == "late" else self.cifar


KEPT = Strides(imagenet=1, cifar=1)


class Block:
    """A row of a table."""

    def __call__(self, build: Assembler[T], x: T) -> T:
        """Return what the row makes of x."""
        raise NotImplementedError


class Body(Block):
    """A row between the stem and the head; it stands for one block, or for its `repeats`."""


class Residual(Body):
    """The base of blocks that a residual connection may bridge; stochastic depth counts them."""


@dataclass(frozen=True)
class ConvBlock(Block):
    """Full convolution, batch normalization, activation; layers `name`, `name`_bn, `name`_relu."""

    name: str
    filters: int  # at alpha 1
    strides: Strides
    kernel_px: int | Strides = 3
    activation: ActivationName = "paper"  # the table's own
    scaling: Scaling = "alpha"
    norm_name: str = ""  # where the reference's names follow no rule
    activated_name: str = ""

    def __call__(self, build: Assembler[T], x: T) -> T:
        return build.conv(
            x,
            self.name,
            build.scale(x, self.filters, self.scaling),
            self.activation,
            kernel_px=build.stride(self.kernel_px),
            stride=build.stride(self.strides),
            norm_name=self.norm_name,
            activated_name=self.activated_name,
        )


@dataclass(frozen=True)
class DepthwiseSeparableBlock(Body):
    """3x3 depthwise then 1x1 pointwise convolution, each normalized and activated.

    Layers conv_dw_`index` and conv_pw_`index`, as tf_keras.applications numbers them. The stride
    is the depthwise convolution's. arXiv 1704.04861, figure 3, right.
    """

    index: int
    filters: int  # of the pointwise convolution, at alpha 1
    strides: Strides
    kernel_px: int = 3

    def __call__(self, build: Assembler[T], x: T) -> T:
        shortcut, stride = x, build.stride(self.strides)
        x = build.depthwise(x, f"conv_dw_{self.index}", self.kernel_px, stride, "paper")
        x = build.conv(x, f"conv_pw_{self.index}", build.scale(x, self.filters), "paper")
        if not build.variant.options.residual:
            return x
        return build.bridge(x, shortcut, f"conv_{self.index}", stride)


@dataclass(frozen=True)
class InvertedResiduals(Residual):
    """A line of MobileNetV2's table 2, columns t, c, n and s: n inverted residuals.

    Expand by t, 3x3 depthwise (stride s in the first), project without activation; a residual
    connection where the shapes agree. arXiv 1801.04381, table 1 and figure 4d.
    """

    expansion: int
    filters: int
    repeats: int
    strides: Strides

    def __call__(self, build: Assembler[T], x: T) -> T:
        for repeat in range(self.repeats):
            name, shortcut = build.next_name(), x
            stride = build.stride(self.strides) if repeat == 0 else 1
            if self.expansion > 1:
                expanded = self.expansion * build.ops.channels(x)
                x = build.conv(x, f"{name}_expand", expanded, "paper")
            x = build.depthwise(x, f"{name}_depthwise", 3, stride, "paper")
            x = build.squeeze_excite(x, name)
            x = build.project(x, shortcut, name, self.filters, stride)
        return x


@dataclass(frozen=True)
class Bottleneck(Residual):
    """A `bneck` line of MobileNetV3's tables, columns operator, exp size, #out, SE, NL and s.

    An inverted residual with another kernel, squeeze-and-excitation after the depthwise
    convolution where SE says so, and its own nonlinearity. arXiv 1905.02244, figure 4.
    """

    kernel_px: int
    expanded: int
    filters: int
    squeeze_excitation: bool
    activation: ActivationName
    strides: Strides

    def __call__(self, build: Assembler[T], x: T) -> T:
        name, shortcut, stride = build.next_name(), x, build.stride(self.strides)
        if self.expanded != build.table_channels:
            expanded = build.scale(x, self.expanded, "input")
            x = build.conv(x, f"{name}_expand", expanded, self.activation)
        x = build.depthwise(x, f"{name}_depthwise", self.kernel_px, stride, self.activation)
        x = build.squeeze_excite(x, name, self.squeeze_excitation)
        return build.project(x, shortcut, name, self.filters, stride)


@dataclass(frozen=True)
class UniversalBottleneck(Residual):
    """A UIB line of MobileNetV4's tables: DW K1, DW K2, expanded dim, output dim, stride.

    A depthwise convolution before the expansion (0: none), one after it (0: none), and the
    projection. Both make ExtraDW, the second alone IB, the first alone ConvNext, neither FFN.
    Without the second, the first strides. arXiv 2404.10518, figure 4.
    """

    start_px: int
    middle_px: int
    expanded: int
    filters: int
    strides: Strides

    def __call__(self, build: Assembler[T], x: T) -> T:
        name, shortcut, stride = build.next_name(), x, build.stride(self.strides)
        expanded = build.scale(x, self.expanded, "input")
        if self.start_px:
            start_stride = 1 if self.middle_px else stride
            x = build.depthwise(x, f"{name}_start", self.start_px, start_stride, None)
        x = build.conv(x, f"{name}_expand", expanded, "paper")
        if self.middle_px:
            x = build.depthwise(x, f"{name}_middle", self.middle_px, stride, "paper")
        if self.start_px or self.middle_px:
            x = build.squeeze_excite(x, name)
        return build.project(x, shortcut, name, self.filters, stride)


@dataclass(frozen=True)
class FusedBottleneck(Residual):
    """A FusedIB line of MobileNetV4's tables: K, expanded dim, output dim, stride.

    One full convolution expands and strides, a 1x1 convolution projects; `activated` says whether
    the reference code activates the output too (it does in Conv-S, and then adds nothing).
    """

    kernel_px: int
    expanded: int
    filters: int
    strides: Strides
    activated: bool = False

    def __call__(self, build: Assembler[T], x: T) -> T:
        name, shortcut, stride = build.next_name(), x, build.stride(self.strides)
        expanded = build.scale(x, self.expanded, "input")
        expand, kernel_px = f"{name}_expand", self.kernel_px
        x = build.conv(x, expand, expanded, "paper", kernel_px=kernel_px, stride=stride)
        if self.activated:
            return build.conv(x, f"{name}_project", build.scale(x, self.filters), "paper")
        return build.project(x, shortcut, name, self.filters, stride)


@dataclass(frozen=True)
class MaxPool(Block):
    """Maximum over overlapping windows."""

    name: str
    strides: Strides
    kernel_px: int = 3

    def __call__(self, build: Assembler[T], x: T) -> T:
        return build.ops.max_pool(x, self.name, self.kernel_px, build.stride(self.strides))


@dataclass(frozen=True)
class GlobalPool(Block):
    """The mean over the whole image, (1, 1, channels)."""

    def __call__(self, build: Assembler[T], x: T) -> T:
        return build.ops.global_pool(x, POOLING)


@dataclass(frozen=True)
class DenseBlock(Block):
    """A fully connected layer over the whole image with bias and activation.

    Written as a convolution whose kernel is the image (1x1 after pooling): the same numbers, and
    int8 gives its kernel one scale an output, which a dense layer would not get.
    """

    name: str
    filters: int
    activation: ActivationName = "paper"
    scaling: Scaling = "alpha"
    dropped: bool = False  # dropout before it

    def __call__(self, build: Assembler[T], x: T) -> T:
        if self.dropped:
            x = build.ops.dropout(x, f"{self.name}_dropout", build.rate)
        x = build.ops.dense(x, self.name, build.scale(x, self.filters, self.scaling))
        return build.activate(x, self.name, self.activation)


@dataclass(frozen=True)
class Classifier(Block):
    """Dropout, the optional hidden layer, and the layer of the classes, as `DenseBlock` is."""

    name: str
    flat_name: str = "flatten"

    def __call__(self, build: Assembler[T], x: T) -> T:
        options = build.variant.options
        x = build.ops.dropout(x, "dropout", build.rate)
        if options.head_units:
            x = build.ops.dense(x, "head", options.head_units)
            x = build.activate(x, "head", "paper")
            x = build.ops.dropout(x, "head_dropout", options.head_dropout)
        x = build.ops.dense(x, self.name, build.variant.classes)
        return build.ops.flatten(x, self.flat_name)


@dataclass(frozen=True)
class ModelTable:
    """One architecture: its rows in the paper's order, and what the paper published.

    `block_names` are those of the first bottleneck and of the others by number. `cannot` says for
    an option why this model does not take it.
    """

    name: str
    alias: str  # in artifact names: v1_050_r32
    title: str
    source: str
    activation: ActivationName
    blocks: tuple[Block, ...]
    published_alphas: tuple[float, ...] = (1.0,)
    dropout: float = 0.001  # as tf_keras.applications.MobileNet
    norm_suffix: str = "bn"
    block_names: tuple[str, str] = ("block_0", "block_{}")
    cannot: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def total_stride(self, plan: StridePlan) -> int:
        """Return by how much `plan` divides the input's side before pooling."""
        strides: Iterator[Strides] = (getattr(block, "strides", KEPT) for block in self.blocks)
        return math.prod(stride.under(plan) for stride in strides)

    @property
    def narrowest(self) -> int:
        """The smallest number of channels that alpha multiplies."""
        scaled = (block for block in self.blocks if getattr(block, "scaling", "alpha") == "alpha")
        return min(block.filters for block in scaled if hasattr(block, "filters"))

    @property
    def bottleneck_count(self) -> int:
        """How many blocks there are that a residual connection may bridge."""
        return sum(_count(block) for block in self.blocks if isinstance(block, Residual))

    @property
    def block_count(self) -> int:
        """How many blocks there are between the stem and the head."""
        return sum(_count(block) for block in self.blocks if isinstance(block, Body))

    def first(self, count: int) -> ModelTable:
        """Return the table without the blocks after the first `count`; stem and head stay."""
        rows: list[Block] = []
        for block in self.blocks:
            if not isinstance(block, Body):
                rows.append(block)
            elif count > 0:
                if isinstance(block, InvertedResiduals):
                    rows.append(replace(block, repeats=min(count, block.repeats)))
                else:
                    rows.append(block)
                count -= _count(block)
        return replace(self, blocks=tuple(rows))


def _count(block: Block) -> int:
    """Return how many blocks a row stands for."""
    return getattr(block, "repeats", 1)
