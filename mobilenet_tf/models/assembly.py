"""From a table's rows to layers, for costs and Keras models alike.

A row computes its block by calling `Ops`, which either counts or builds: costs are those of the
very layers that are built.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.blocks import Scaling, Strides
from mobilenet_tf.models.variant import Variant, asks_for, round_channels
from mobilenet_tf.recipe import ActivationName

SQUEEZE_SHARE = 0.25  # of the expanded channels; arXiv 1905.02244, section 5.3
PLACES = {  # option -> what it needs, which the first blocks alone may lack
    "squeeze_excitation": "a bottleneck with a depthwise convolution",
    "stochastic_depth": "a residual connection",
    "residual": "a block without a stride that keeps its number of channels",
}

T = TypeVar("T")


class Ops(Protocol[T]):
    """What a network is made of; `T` is a tensor, or a shape where only costs are counted.

    Convolutions have "same" padding and no bias, `dense` covers the whole image and has one. What
    changes neither shape nor weights does nothing here.
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

    def max_pool(self, x: T, name: str, size_px: int, stride: int) -> T:
        """Take the maximum over windows."""

    def global_pool(self, x: T, name: str) -> T:
        """Take the mean over an image: (1, 1, channels)."""

    def activate(self, x: T, name: str, activation: str) -> T:
        """Apply an activation, or "hard_sigmoid"."""
        return x

    def add(self, x: T, other: T, name: str) -> T:
        """Add."""
        return x

    def multiply(self, x: T, gate: T, name: str) -> T:
        """Multiply x with a gate (…, 1, 1, channels)."""
        return x

    def dropout(self, x: T, name: str, rate: float) -> T:
        """Drop values in training."""
        return x

    def drop_path(self, x: T, name: str, rate: float) -> T:
        """Drop whole samples in training."""
        return x

    def flatten(self, x: T, name: str) -> T:
        """Drop the image's sides: (channels,)."""
        return x


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
            x = block(self, x)
            self.table_channels = getattr(block, "filters", self.table_channels)
        for name, need in PLACES.items():
            if asks_for(self.variant.options, name) and name not in self.used:
                raise UsageError(
                    f"{self.variant.table.name} cut after block {self.variant.options.block_count}"
                    f" has no place for {name}: it needs {need}; raise block_count, or leave"
                    f" {name} out"
                )
        return x

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

    def conv(
        self,
        x: T,
        name: str,
        filters: int,
        activation: ActivationName | None,
        *,
        kernel_px: int = 1,
        stride: int = 1,
        norm_name: str = "",
        activated_name: str = "",
    ) -> T:
        """Apply a convolution, normalized and, unless `activation` is None, activated."""
        x = self.ops.conv(x, name, filters, kernel_px, stride)
        x = self.ops.norm(x, norm_name or f"{name}_{self.variant.table.norm_suffix}")
        return self.activate(x, activated_name or name, activation)

    def depthwise(
        self, x: T, name: str, kernel_px: int, stride: int, activation: ActivationName | None
    ) -> T:
        """Apply a depthwise convolution, in the same way."""
        x = self.ops.depthwise(x, name, kernel_px, stride)
        x = self.ops.norm(x, f"{name}_{self.variant.table.norm_suffix}")
        return self.activate(x, name, activation)

    def activate(self, x: T, name: str, activation: ActivationName | None) -> T:
        """Apply the row's activation, the table's where it is "paper", or the option instead."""
        if activation is None:
            return x
        chosen = activation if activation != "paper" else self.variant.table.activation
        if self.variant.options.activation != "paper":
            chosen = self.variant.options.activation
        return self.ops.activate(x, f"{name}_{'relu' if chosen == 'relu6' else chosen}", chosen)

    def next_name(self) -> str:
        """Return the name of the next bottleneck."""
        first, others = self.variant.table.block_names
        self.bottlenecks += 1
        return others.format(self.bottlenecks - 1) if self.bottlenecks > 1 else first

    def squeeze_excite(self, x: T, name: str, in_table: bool = False) -> T:
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

    def project(self, x: T, shortcut: T, name: str, filters: int, stride: int) -> T:
        """End a bottleneck: a 1x1 convolution without activation, and the residual connection."""
        x = self.conv(x, f"{name}_project", self.scale(x, filters), None)
        return self.bridge(x, shortcut, name, stride)

    def bridge(self, x: T, shortcut: T, name: str, stride: int) -> T:
        """Add the residual connection where the shapes agree."""
        if stride != 1 or self.ops.channels(x) != self.ops.channels(shortcut):
            return x
        self.used.add("residual")
        rate = self.variant.options.stochastic_depth
        if rate:
            self.used.add("stochastic_depth")
            rate *= self.bottlenecks / self.variant.table.bottleneck_count
            x = self.ops.drop_path(x, f"{name}_drop", rate)
        return self.ops.add(shortcut, x, f"{name}_add")
