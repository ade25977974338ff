"""From a table's rows to layers: one function a block kind, for costs and Keras models alike.

A function computes a block by calling `Ops`, which either counts or builds: costs are those of the
very layers that are built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.blocks import (
    Bottleneck,
    Classifier,
    ConvBlock,
    DenseBlock,
    DepthwiseSeparableBlock,
    FusedBottleneck,
    GlobalPool,
    InvertedResiduals,
    MaxPool,
    Scaling,
    Strides,
    UniversalBottleneck,
)
from mobilenet_tf.models.variant import Variant, round_channels
from mobilenet_tf.recipe import ActivationName

SQUEEZE_SHARE = 0.25  # of the expanded channels; arXiv 1905.02244, section 5.3
PLACES = {  # option -> what it needs, which the first blocks alone may lack
    "squeeze_excitation": "a bottleneck with a depthwise convolution",
    "stochastic_depth": "a residual connection",
}

T = TypeVar("T")


class Ops(Protocol[T]):
    """What a network is made of; `T` is a tensor, or a shape where only costs are counted.

    Convolutions have "same" padding and no bias, `dense` covers the whole image and has one.
    """

    def channels(self, x: T) -> int:
        """Return the channels of x (…, height, width, channels)."""

    def conv(self, x: T, name: str, filters: int, kernel_px: int, stride: int) -> T:
        """Convolve."""

    def depthwise(self, x: T, name: str, kernel_px: int, stride: int) -> T:
        """Convolve each channel by itself."""

    def dense(self, x: T, name: str, units: int) -> T:
        """Connect every value of an image with every unit: (1, 1, units)."""

    def norm(self, x: T, name: str) -> T:
        """Normalize over the batch."""

    def activate(self, x: T, name: str, activation: str) -> T:
        """Apply an activation, or "hard_sigmoid"."""

    def add(self, x: T, other: T, name: str) -> T:
        """Add."""

    def multiply(self, x: T, gate: T, name: str) -> T:
        """Multiply x with a gate (…, 1, 1, channels)."""

    def max_pool(self, x: T, name: str, size_px: int, stride: int) -> T:
        """Take the maximum over windows."""

    def global_pool(self, x: T, name: str) -> T:
        """Take the mean over an image: (1, 1, channels)."""

    def dropout(self, x: T, name: str, rate: float) -> T:
        """Drop values in training."""

    def drop_path(self, x: T, name: str, rate: float) -> T:
        """Drop whole samples in training."""

    def flatten(self, x: T, name: str) -> T:
        """Drop the image's sides: (channels,)."""


class Assembler(Generic[T]):
    """Walks through a table once; its state is what a row needs to know of those before it."""

    def __init__(self, variant: Variant, ops: Ops[T], dropout: float = 0.0) -> None:
        self.variant, self.ops, self.rate = variant, ops, dropout
        self.bottlenecks = 0
        self.used: set[str] = set()  # of the options in PLACES
        self.table_channels = variant.input_shape[2]  # the table's, before alpha

    def run(self, image: T) -> T:
        """Return the logits of an image.

        Raises:
            UsageError: an option for which the network has no place.
        """
        x = image
        for block in self.variant.table.blocks:
            x = BLOCKS[type(block)](self, block, x)
            self.table_channels = getattr(block, "filters", self.table_channels)
        self._refuse_unused()
        return x

    def _refuse_unused(self) -> None:
        options = self.variant.options
        asked = {
            "squeeze_excitation": options.squeeze_excitation == "on",
            "stochastic_depth": options.stochastic_depth > 0,
        }
        for name, wanted in asked.items():
            if wanted and name not in self.used:
                raise UsageError(
                    f"{self.variant.table.name} cut after block {options.block_count} has no place"
                    f" for {name}: it needs {PLACES[name]}; raise block_count, or leave {name} out"
                )

    def scale(self, x: T, filters: int, scaling: Scaling = "alpha") -> int:
        """Return a row's channels at this alpha."""
        if scaling == "fixed":
            return filters
        if scaling == "input":
            return round_channels(self.ops.channels(x) * (filters / self.table_channels))
        if scaling == "widen":
            return round_channels(filters * max(1.0, self.variant.alpha))
        return self.variant.channels(filters)

    def stride(self, strides: Strides | int) -> int:
        """Return a number of the table under the stride plan."""
        return strides if isinstance(strides, int) else strides.under(self.variant.stride_plan)

    def finish(
        self,
        x: T,
        name: str,
        activation: ActivationName | None,
        *,
        norm_name: str = "",
        activated_name: str = "",
    ) -> T:
        """Normalize the convolution `name` and, unless `activation` is None, activate it."""
        table = self.variant.table
        x = self.ops.norm(x, norm_name or f"{name}_{table.norm_suffix}")
        return self.activate(x, activated_name or name, activation) if activation else x

    def activate(self, x: T, name: str, activation: ActivationName) -> T:
        """Apply the row's activation, the table's where it has none, or the option instead."""
        chosen = activation if activation != "paper" else self.variant.table.activation
        if self.variant.options.activation != "paper":
            chosen = self.variant.options.activation
        return self.ops.activate(x, f"{name}_{'relu' if chosen == 'relu6' else chosen}", chosen)

    def next_name(self) -> str:
        """Return the name of the next bottleneck."""
        first, others = self.variant.table.block_names
        self.bottlenecks += 1
        return others.format(self.bottlenecks - 1) if self.bottlenecks > 1 else first

    def pointwise(self, x: T, name: str, filters: int, activation: ActivationName | None) -> T:
        """Apply a 1x1 convolution, normalized."""
        return self.finish(self.ops.conv(x, name, filters, 1, 1), name, activation)

    def depthwise(
        self, x: T, name: str, kernel_px: int, stride: int, activation: ActivationName | None
    ) -> T:
        """Apply a depthwise convolution, normalized."""
        return self.finish(self.ops.depthwise(x, name, kernel_px, stride), name, activation)

    def squeeze_excite(self, x: T, name: str, in_table: bool) -> T:
        """Squeeze and excite (arXiv 1709.01507, as in V3)."""
        chosen = self.variant.options.squeeze_excitation
        if chosen == "off" or (chosen == "paper" and not in_table):
            return x
        self.used.add("squeeze_excitation")
        name, channels = f"{name}_squeeze_excite", self.ops.channels(x)
        gate = self.ops.global_pool(x, f"{name}_AvgPool")
        gate = self.ops.dense(gate, f"{name}_Conv", round_channels(channels * SQUEEZE_SHARE))
        gate = self.ops.activate(gate, f"{name}_Relu", "relu")
        gate = self.ops.dense(gate, f"{name}_Conv_1", channels)
        gate = self.ops.activate(gate, f"{name}_gate", "hard_sigmoid")
        return self.ops.multiply(x, gate, f"{name}_Mul")

    def bridge(self, x: T, shortcut: T, name: str, stride: int) -> T:
        """Add the residual connection where the shapes agree."""
        if stride != 1 or self.ops.channels(x) != self.ops.channels(shortcut):
            return x
        rate = self.variant.options.stochastic_depth
        if rate:
            self.used.add("stochastic_depth")
            rate *= self.bottlenecks / self.variant.table.bottleneck_count
            x = self.ops.drop_path(x, f"{name}_drop", rate)
        return self.ops.add(shortcut, x, f"{name}_add")


def _conv_block(build: Assembler[T], block: ConvBlock, x: T) -> T:
    filters = build.scale(x, block.filters, block.scaling)
    stride, kernel_px = build.stride(block.strides), build.stride(block.kernel_px)
    return build.finish(
        build.ops.conv(x, block.name, filters, kernel_px, stride),
        block.name,
        block.activation,
        norm_name=block.norm_name,
        activated_name=block.activated_name,
    )


def _separable_block(build: Assembler[T], block: DepthwiseSeparableBlock, x: T) -> T:
    stride = build.stride(block.strides)
    x = build.depthwise(x, f"conv_dw_{block.index}", block.kernel_px, stride, "paper")
    filters = build.scale(x, block.filters)
    return build.pointwise(x, f"conv_pw_{block.index}", filters, "paper")


def _inverted_residuals(build: Assembler[T], block: InvertedResiduals, x: T) -> T:
    for repeat in range(block.repeats):
        name, shortcut = build.next_name(), x
        stride = build.stride(block.strides) if repeat == 0 else 1
        if block.expansion > 1:
            expanded = block.expansion * build.ops.channels(x)
            x = build.pointwise(x, f"{name}_expand", expanded, "paper")
        x = build.depthwise(x, f"{name}_depthwise", 3, stride, "paper")
        x = build.squeeze_excite(x, name, in_table=False)
        x = build.pointwise(x, f"{name}_project", build.scale(x, block.filters), None)
        x = build.bridge(x, shortcut, name, stride)
    return x


def _bottleneck(build: Assembler[T], block: Bottleneck, x: T) -> T:
    name, shortcut, stride = build.next_name(), x, build.stride(block.strides)
    if block.expanded != build.table_channels:
        expanded = build.scale(x, block.expanded, "input")
        x = build.pointwise(x, f"{name}_expand", expanded, block.activation)
    x = build.depthwise(x, f"{name}_depthwise", block.kernel_px, stride, block.activation)
    x = build.squeeze_excite(x, name, block.squeeze_excitation)
    x = build.pointwise(x, f"{name}_project", build.scale(x, block.filters), None)
    return build.bridge(x, shortcut, name, stride)


def _universal_bottleneck(build: Assembler[T], block: UniversalBottleneck, x: T) -> T:
    name, shortcut, stride = build.next_name(), x, build.stride(block.strides)
    expanded = build.scale(x, block.expanded, "input")
    if block.start_px:
        start_stride = 1 if block.middle_px else stride
        x = build.depthwise(x, f"{name}_start", block.start_px, start_stride, None)
    x = build.pointwise(x, f"{name}_expand", expanded, "paper")
    if block.middle_px:
        x = build.depthwise(x, f"{name}_middle", block.middle_px, stride, "paper")
    if block.start_px or block.middle_px:
        x = build.squeeze_excite(x, name, in_table=False)
    x = build.pointwise(x, f"{name}_project", build.scale(x, block.filters), None)
    return build.bridge(x, shortcut, name, stride)


def _fused_bottleneck(build: Assembler[T], block: FusedBottleneck, x: T) -> T:
    name, shortcut, stride = build.next_name(), x, build.stride(block.strides)
    expanded = build.scale(x, block.expanded, "input")
    expand = f"{name}_expand"
    x = build.finish(build.ops.conv(x, expand, expanded, block.kernel_px, stride), expand, "paper")
    filters = build.scale(x, block.filters)
    if block.activated:
        return build.pointwise(x, f"{name}_project", filters, "paper")
    x = build.pointwise(x, f"{name}_project", filters, None)
    return build.bridge(x, shortcut, name, stride)


def _max_pool(build: Assembler[T], block: MaxPool, x: T) -> T:
    return build.ops.max_pool(x, block.name, block.kernel_px, build.stride(block.strides))


def _global_pool(build: Assembler[T], block: GlobalPool, x: T) -> T:
    return build.ops.global_pool(x, "global_average_pooling2d")


def _dense_block(build: Assembler[T], block: DenseBlock, x: T) -> T:
    if block.dropped:
        x = build.ops.dropout(x, f"{block.name}_dropout", build.rate)
    x = build.ops.dense(x, block.name, build.scale(x, block.filters, block.scaling))
    return build.activate(x, block.name, block.activation)


def _classifier(build: Assembler[T], block: Classifier, x: T) -> T:
    options = build.variant.options
    x = build.ops.dropout(x, "dropout", build.rate)
    if options.head_units:
        x = build.ops.dense(x, "head", options.head_units)
        x = build.activate(x, "head", "paper")
        x = build.ops.dropout(x, "head_dropout", options.head_dropout)
    x = build.ops.dense(x, block.name, build.variant.classes)
    return build.ops.flatten(x, block.flat_name)


BLOCKS: dict[type, Callable[..., Any]] = {
    ConvBlock: _conv_block,
    DepthwiseSeparableBlock: _separable_block,
    InvertedResiduals: _inverted_residuals,
    Bottleneck: _bottleneck,
    UniversalBottleneck: _universal_bottleneck,
    FusedBottleneck: _fused_bottleneck,
    MaxPool: _max_pool,
    GlobalPool: _global_pool,
    DenseBlock: _dense_block,
    Classifier: _classifier,
}
