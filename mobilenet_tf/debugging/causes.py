"""Why a fake-quantized network and its file differ: one cause after the other.

Every op of a file has a difference of its own: what the file gives, less what the op's Keras layers
give on the very input that the file gave it. Put into the Keras network, those differences turn it
into the file, value for value; put in kind by kind, after the file's kernels and biases, they show
what each kind does, and one by one which layers do most.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.debugging.layers import (
    FloatGraph,
    QuantizedLayer,
    ReadFile,
    batch_size,
    round_to_levels,
)
from mobilenet_tf.errors import UsageError
from mobilenet_tf.evaluation.parity import OUTPUT_STEPS, compare_probabilities
from mobilenet_tf.keras import tf
from mobilenet_tf.system.terminal import track

AS_TRAINED = "as trained"
KERNELS, BIASES, SOFTMAX = "kernels", "biases", "softmax"
KINDS = {  # op -> the cause that its own difference belongs to; "other ops" without an entry
    "CONV_2D": "rounding",
    "DEPTHWISE_CONV_2D": "rounding",
    "FULLY_CONNECTED": "rounding",
    "MEAN": "pooling",
    "AVERAGE_POOL_2D": "pooling",
}
OTHER = "other ops"


class Constants(Protocol):
    """A layer's kernel and bias as a file holds them, dequantized; `kernel_scale` broadcasts."""

    @property
    def kernel(self) -> np.ndarray:
        """The kernel, a multiple of `kernel_scale` everywhere."""

    @property
    def kernel_scale(self) -> np.ndarray:
        """The size of the kernel's steps."""

    @property
    def bias(self) -> np.ndarray:
        """The bias (outputs,)."""


@dataclass(frozen=True)
class Cause:
    """How near Keras is to the file once this cause, and those before it, are done the file's way.

    `same_outputs` is the share of images whose probabilities, rounded to the file's steps, are
    all the file's; `differing_values` counts kernel values or biases that are not the same.
    """

    name: str
    top1_agreement: float
    mean_difference_steps: float
    largest_difference_steps: float
    same_outputs: float
    differing_values: int | None = None


@dataclass(frozen=True)
class LayerDifference:
    """One op's own difference: values that differ on the same input, and what they alone do.

    `effect_steps` is by how much they move a probability, the mean over images and classes, in
    steps of 1/256; `moved_top1` the share of images whose first class they change.
    """

    name: str
    op_name: str
    differing_share: float
    largest_steps: int
    effect_steps: float
    moved_top1: float


@dataclass
class _Tally:
    differing: int = 0
    count: int = 0
    largest: int = 0
    effect: float = 0.0
    moved: int = 0


@dataclass
class _Parts:
    """Probabilities by cause, batch after batch, and the tallies of the layers."""

    probabilities: dict[str, list[np.ndarray]] = field(default_factory=dict)
    layers: dict[str, _Tally] = field(default_factory=dict)


def explain_difference(
    model: Any,
    constants: Mapping[str, Constants],
    layers: Sequence[QuantizedLayer],
    read_file: ReadFile,
    *,
    images: np.ndarray,
    expected: np.ndarray,
) -> tuple[list[Cause], list[LayerDifference]]:
    """Return what lies between a fake-quantized network and its file, and the layers, worst first.

    `model`, whose biases may be as trained, maps (N, R, R, 3) to logits and is left with the file's
    kernels and biases; `layers` are the file's ops, `expected` its probabilities (N, C) of the
    images (N, R, R, 3) uint8. The last cause, softmax, ends at the file itself.

    Raises:
        UsageError: there is no image.
    """
    if not len(images):
        raise UsageError("there is no image to compare on; give at least one")
    graph = FloatGraph(model)
    size = batch_size(graph, layers)
    starts = range(0, len(images), size)
    found = _Parts({}, {layer.output: _Tally() for layer in layers})
    differing = {}
    for cause, assign in ((AS_TRAINED, None), (KERNELS, _use_kernels), (BIASES, _use_biases)):
        if assign is not None:
            differing[cause] = assign(graph, constants)
        found.probabilities[cause] = [
            _predict(graph, {graph.input: _normalise(images[start : start + size])})
            for start in starts
        ]
    for start in track(starts, "differences"):
        batch = images[start : start + size]
        _compare_batch(graph, layers, found, _normalise(batch), read_file(batch))
    causes = [
        _describe(cause, np.concatenate(parts), expected, differing.get(cause))
        for cause, parts in found.probabilities.items()
    ]
    causes.append(_describe(SOFTMAX, expected, expected, None))
    differences = [
        LayerDifference(
            name=layer.name,
            op_name=layer.op_name,
            differing_share=tally.differing / tally.count,
            largest_steps=tally.largest,
            effect_steps=round(tally.effect / expected.size, 5),
            moved_top1=tally.moved / len(images),
        )
        for layer in layers
        for tally in [found.layers[layer.output]]
    ]
    return causes, sorted(differences, key=lambda each: -each.effect_steps)


def _compare_batch(
    graph: FloatGraph,
    layers: Sequence[QuantizedLayer],
    found: _Parts,
    images: Any,
    tensors: Mapping[int, np.ndarray],
) -> None:
    given = {graph.input: images}
    for layer in layers:
        given[layer.output] = tf.constant(_dequantize(layer, tensors[layer.tensor]))
    own: dict[str, np.ndarray] = {}
    for layer in layers:
        inputs = {source: given[source] for source in layer.sources}
        alone = graph.compute(layer.output, inputs).numpy()
        difference = tensors[layer.tensor].astype(np.int32) - round_to_levels(layer, alone)
        own[layer.output] = difference
        tally = found.layers[layer.output]
        tally.differing += int(np.count_nonzero(difference))
        tally.count += difference.size
        tally.largest = max(tally.largest, int(np.abs(difference).max()))
    known = {graph.input: images}
    plain = _predict(graph, known)
    for layer in layers:
        if not own[layer.output].any():
            continue
        dependents = graph.list_dependents(layer.output)
        kept = {name: value for name, value in known.items() if name not in dependents}
        kept[layer.output] = _shift(layer, known[layer.output], own[layer.output])
        moved = _predict(graph, kept)
        tally = found.layers[layer.output]
        tally.effect += float(np.abs(moved - plain).sum(dtype=np.float64)) * OUTPUT_STEPS
        tally.moved += int((moved.argmax(-1) != plain.argmax(-1)).sum())
    done: list[str] = []
    for kind in list_kinds(layers):
        done.append(kind)
        values = {graph.input: images}
        for layer in layers:
            value = graph.compute(layer.output, values)
            if find_kind(layer) in done:
                values[layer.output] = _shift(layer, value, own[layer.output])
        found.probabilities.setdefault(kind, []).append(_predict(graph, values))


def list_kinds(layers: Collection[QuantizedLayer]) -> list[str]:
    """Return the causes that the ops of a file belong to, in the order they are put in."""
    present = {find_kind(layer) for layer in layers}
    return [kind for kind in (*dict.fromkeys(KINDS.values()), OTHER) if kind in present]


def find_kind(layer: QuantizedLayer) -> str:
    """Return the cause that an op's own difference belongs to."""
    return KINDS.get(layer.op_name, OTHER)


def _use_kernels(graph: FloatGraph, constants: Mapping[str, Constants]) -> int:
    """Give the layers the file's kernels; return how many values were others."""
    return _assign(graph, constants, "kernel", lambda held: (held.kernel, held.kernel_scale))


def _use_biases(graph: FloatGraph, constants: Mapping[str, Constants]) -> int:
    """Give the layers the file's biases; return how many were others."""
    return _assign(graph, constants, "bias", lambda held: (held.bias, None))


def _assign(
    graph: FloatGraph,
    constants: Mapping[str, Constants],
    role: str,
    choose: Callable[[Constants], tuple[np.ndarray, np.ndarray | None]],
) -> int:
    differing = 0
    for name, held in constants.items():
        wanted, scale = choose(held)
        for weight in _find_weights(graph.layers[name], role):
            value = weight.numpy()
            if scale is None:
                differing += int((~np.isclose(value, wanted, rtol=1e-6, atol=0)).sum())
            else:  # a trained kernel is compared as its 8-bit grid has it
                differing += int((np.rint(value / scale) != np.rint(wanted / scale)).sum())
            weight.assign(wanted.reshape(value.shape))
    return differing


def _find_weights(layer: Any, role: str) -> Iterator[Any]:
    for weight in layer.trainable_weights:
        if role in weight.name.rsplit("/", 1)[-1]:
            yield weight


def _normalise(images: np.ndarray) -> Any:
    return normalise(tf.constant(images))


def _predict(graph: FloatGraph, known: dict[str, Any]) -> np.ndarray:
    probabilities: np.ndarray = tf.nn.softmax(graph.compute(graph.output, known)).numpy()
    return probabilities


def _dequantize(layer: QuantizedLayer, levels: np.ndarray) -> np.ndarray:
    return (levels.astype(np.float32) - layer.zero_point) * np.float32(layer.scale)


def _shift(layer: QuantizedLayer, value: Any, difference: np.ndarray) -> Any:
    """Return a layer's output moved by its own difference, as the file would give it."""
    levels = np.clip(round_to_levels(layer, value.numpy()) + difference, -128, 127)
    return tf.constant(_dequantize(layer, levels))


def _describe(
    name: str, probabilities: np.ndarray, expected: np.ndarray, differing: int | None
) -> Cause:
    compared = compare_probabilities(probabilities, expected)
    ours, theirs = (
        np.minimum(np.rint(values * OUTPUT_STEPS), OUTPUT_STEPS - 1)  # 8 bits end at 255/256
        for values in (probabilities, expected)
    )
    return Cause(
        name=name,
        top1_agreement=compared.top1_agreement,
        mean_difference_steps=compared.mean_difference_steps,
        largest_difference_steps=compared.largest_difference_steps,
        same_outputs=float((ours == theirs).all(-1).mean()),
        differing_values=differing,
    )
