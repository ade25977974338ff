"""The size of an int8 file before there is one, from the table of its network.

Weights, biases, scales and names are counted. What an op takes beside them, and the file as a
whole, was fitted to 23 files of 6 KB to 1.6 MB, all models and options among them, and is known to
within 0.4 % of each; tests/tflite/test_size.py checks it on others.
"""

from __future__ import annotations

from collections.abc import Sequence

from mobilenet_tf.models.assembly import Assembler
from mobilenet_tf.models.cost import CostCounter, Shape
from mobilenet_tf.models.variant import Variant

FILE_BYTES, KERNEL_OP_BYTES, PLAIN_OP_BYTES = 2608, 270, 136
BIAS_BYTES, SCALE_BYTES, ZERO_POINT_BYTES = 4, 4, 8
ACTIVATION_OPS = {  # what is no part of the convolution before it, by the ends of its ops' names
    "silu": ("_sigmoid", ""),
    "hard_swish": ("_relu6", "_product", ""),
    "hard_sigmoid": ("",),
}


def predict_int8_bytes(variant: Variant, classes: Sequence[str], dataset: str) -> int:
    """Return about how large the int8 file of a network will be, in bytes.

    Raises:
        UsageError: an option for which the network has no place.
    """
    counter = _OpCounter()
    Assembler(variant, counter).run(variant.input_shape)
    channels = [layer.channels for layer in counter.layers if layer.folded_weights]
    weights = sum(layer.folded_weights for layer in counter.layers)
    each = BIAS_BYTES + 2 * SCALE_BYTES  # scales of kernel and bias
    shared = ZERO_POINT_BYTES * sum(set(channels))  # the same zeros for kernels of as many channels
    names = sum(_string_bytes(name) for name in counter.names)
    ops = KERNEL_OP_BYTES * len(channels) + PLAIN_OP_BYTES * counter.plain_count
    # as JSON and as lines of a text file; the description is there four times
    metadata = sum(2 * len(name.encode()) + 4 for name in classes)
    metadata += 4 * (len(variant.name) + len(dataset))
    return FILE_BYTES + weights + each * sum(channels) + shared + names + ops + metadata


class _OpCounter(CostCounter):
    """Counts ops without a kernel as well, and notes the names of all tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.plain_count = 0
        self.names: list[str] = []

    def max_pool(self, x: Shape, name: str, size_px: int, stride: int) -> Shape:
        self._add_plain(name)
        return super().max_pool(x, name, size_px, stride)

    def global_pool(self, x: Shape, name: str) -> Shape:
        if x[:2] != (1, 1):  # else there is nothing to average
            self._add_plain(name)
        return super().global_pool(x, name)

    def activate(self, x: Shape, name: str, activation: str) -> Shape:
        if activation in ACTIVATION_OPS:
            self._add_plain(*(name + end for end in ACTIVATION_OPS[activation]))
        else:
            self.names[-1] = name  # fused: the convolution's output is called after it
        return x

    def add(self, x: Shape, other: Shape, name: str) -> Shape:
        self._add_plain(name)
        return x

    def multiply(self, x: Shape, gate: Shape, name: str) -> Shape:
        self._add_plain(name)
        return x

    def _add_plain(self, *names: str) -> None:
        self.plain_count += len(names)
        self.names += names

    def _add(self, name: str, weights: int, output: Shape, biases: int = 0) -> Shape:
        self.names += [f"{name}/kernel", f"{name}/bias", name]
        return super()._add(name, weights, output, biases)


def _string_bytes(text: str) -> int:
    """Return what a string takes: its length, its bytes and a zero, in whole words."""
    return (len(text) + 5 + 3) // 4 * 4
