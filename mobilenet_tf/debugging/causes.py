"""Why a fake-quantized network and its file differ: one cause after the other.

An op's own difference is the file's output less that of the op's Keras layers on the same input.
Added to the Keras network, those differences turn it into the file, value for value. Added kind by
kind, after the file's kernels and biases, they show each kind's share; one by one, each layer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.debugging.alignment import Alignment, FloatGraph, QuantizedLayer
from mobilenet_tf.evaluation.paired import OUTPUT_STEPS, compare_probabilities
from mobilenet_tf.evaluation.predict import softmax
from mobilenet_tf.keras import tf
from mobilenet_tf.runs.records import Parity
from mobilenet_tf.system.terminal import track
from mobilenet_tf.tflite.constants import Constants

AS_TRAINED = "as trained"
KERNELS, BIASES, SOFTMAX = "kernels", "biases", "softmax"
KINDS = {  # op -> the cause of its own difference, in the order they are added; others: OTHER
    "CONV_2D": "rounding",
    "DEPTHWISE_CONV_2D": "rounding",
    "FULLY_CONNECTED": "rounding",
    "MEAN": "pooling",
    "AVERAGE_POOL_2D": "pooling",
}
OTHER = "other ops"


class Cause(Parity, frozen=True, kw_only=True):
    """How closely Keras matches the file once this cause and those before it are removed.

    `same_outputs` is the share of images whose probabilities, rounded to the file's steps, all
    equal the file's; `differing_values` counts kernel values or biases that differed.
    """

    name: str
    same_outputs: float
    differing_values: int | None = None


@dataclass(frozen=True)
class LayerDifference:
    """One op's own difference: values that differ on the same input, and their effect alone.

    `effect_steps` is the mean change of a probability over images and classes, in steps of 1/256;
    `moved_top1` the share of images whose top class changes.
    """

    name: str
    op_name: str
    differing_share: float
    largest_steps: int
    effect_steps: float
    moved_top1: float


@dataclass(frozen=True)
class Differences:
    """Why a file differs from its fake-quantized network, with one set of kernels."""

    causes: tuple[Cause, ...]
    layers: tuple[LayerDifference, ...]


def explain_difference(
    alignment: Alignment,
    constants: Mapping[int, Constants],
    images: np.ndarray,
    expected: np.ndarray,
) -> Differences:
    """Return why a fake-quantized network and its file differ, and the layers, worst first.

    The network, whose biases may be as trained, is left with the file's `constants`, by the op's
    number; `expected` are the file's probabilities (N, C) of the images (N, R, R, 3) uint8. The
    last cause, softmax, ends at the file itself.

    Raises:
        UsageError: there is no image.
    """
    graph, layers = alignment.graph, alignment.layers
    batches = alignment.split_batches(images)
    probabilities: dict[str, list[np.ndarray]] = {}
    differing: dict[str, int] = {}
    for cause in (AS_TRAINED, KERNELS, BIASES):
        if cause != AS_TRAINED:
            differing[cause] = _use_constants(alignment, constants, cause)
        probabilities[cause] = [
            _predict(graph, {graph.input: normalise(tf.constant(batch))}) for batch in batches
        ]
    measured: dict[str, list[tuple[Any, ...]]] = {layer.output: [] for layer in layers}
    for batch in track(batches, "differences"):
        levels, given = alignment.read(batch)
        own = {
            each.output: levels[each.output].astype(np.int32)
            - each.to_levels(graph.compute_alone(each, given))
            for each in layers
        }
        for output, figures in _measure_alone(alignment, given[graph.input], own):
            measured[output].append(figures)
        for kind, values in _add_kinds(alignment, given[graph.input], own).items():
            probabilities.setdefault(kind, []).append(values)
    causes = [
        _describe(cause, np.concatenate(parts), expected, differing.get(cause))
        for cause, parts in probabilities.items()
    ]
    causes.append(_describe(SOFTMAX, expected, expected, None))
    differences = [_summarise(layer, measured[layer.output], expected) for layer in layers]
    differences.sort(key=lambda each: -each.effect_steps)
    return Differences(tuple(causes), tuple(differences))


def _measure_alone(
    alignment: Alignment, images: Any, own: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield each layer's output, and what its own difference does to the network by itself.

    That is: values that differ, values in all, the largest difference, the sum of the changes of
    the probabilities, and the images whose top class changes.
    """
    graph, known = alignment.graph, {alignment.graph.input: images}
    plain = _predict(graph, known)
    for layer in alignment.layers:
        name, difference = layer.output, own[layer.output]
        moved = plain
        if difference.any():
            shifted = _shift(layer, known[name], difference)
            moved = softmax(graph.replace(name, shifted, known))
        yield (
            name,
            (
                int(np.count_nonzero(difference)),
                difference.size,
                int(np.abs(difference).max()),
                float(np.abs(moved - plain).sum(dtype=np.float64)) * OUTPUT_STEPS,
                int((moved.argmax(-1) != plain.argmax(-1)).sum()),
            ),
        )


def _summarise(
    layer: QuantizedLayer, measured: Sequence[tuple[Any, ...]], expected: np.ndarray
) -> LayerDifference:
    counts, sizes, largest, effects, changes = zip(*measured, strict=True)
    return LayerDifference(
        name=layer.name,
        op_name=layer.op_name,
        differing_share=sum(counts) / sum(sizes),
        largest_steps=max(largest),
        effect_steps=round(sum(effects) / expected.size, 5),
        moved_top1=sum(changes) / len(expected),
    )


def _add_kinds(
    alignment: Alignment, images: Any, own: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the probabilities after each kind of difference is added to those before."""
    graph, layers = alignment.graph, alignment.layers
    kinds = {layer.output: KINDS.get(layer.op_name, OTHER) for layer in layers}
    present = [kind for kind in (*dict.fromkeys(KINDS.values()), OTHER) if kind in kinds.values()]
    probabilities = {}
    for count, kind in enumerate(present, 1):
        values = {graph.input: images}
        for layer in layers:
            value = graph.compute(layer.output, values)
            if kinds[layer.output] in present[:count]:
                values[layer.output] = tf.constant(_shift(layer, value, own[layer.output]))
        probabilities[kind] = _predict(graph, values)
    return probabilities


def _use_constants(alignment: Alignment, constants: Mapping[int, Constants], cause: str) -> int:
    """Give the layers the file's kernels or biases; return how many values differed."""
    differing = 0
    for layer in alignment.layers:
        if layer.op_index not in constants:
            continue
        constant = constants[layer.op_index]
        shift = np.float32(alignment.graph.sum_shifts(layer))  # which the network adds by itself
        for weight in alignment.graph.layers[layer.name].trainable_weights:
            value, role = weight.numpy(), weight.name.rsplit("/", 1)[-1]
            if cause == KERNELS and "kernel" in role:
                wanted, scale = constant.kernel, constant.kernel_scale
                # A trained kernel is compared on its 8-bit grid.
                differing += int((np.rint(value / scale) != np.rint(wanted / scale)).sum())
                weight.assign(wanted.reshape(value.shape))
            elif cause == BIASES and "bias" in role:
                close = np.isclose(value + shift, constant.bias, rtol=1e-6, atol=0)
                differing += int((~close).sum())
                weight.assign(constant.bias - shift)
    return differing


def _predict(graph: FloatGraph, known: dict[str, Any]) -> np.ndarray:
    return softmax(graph.compute(graph.output, known).numpy())


def _shift(layer: QuantizedLayer, value: Any, difference: np.ndarray) -> np.ndarray:
    """Return a layer's output moved by its own difference, as in the file."""
    return layer.to_real(np.clip(layer.to_levels(value.numpy()) + difference, -128, 127))


def _describe(
    name: str, probabilities: np.ndarray, expected: np.ndarray, differing: int | None
) -> Cause:
    ours, theirs = (
        np.minimum(np.rint(values * OUTPUT_STEPS), OUTPUT_STEPS - 1)  # 8 bits end at 255/256
        for values in (probabilities, expected)
    )
    return Cause(
        name=name,
        same_outputs=float((ours == theirs).all(-1).mean()),
        differing_values=differing,
        **msgspec.structs.asdict(compare_probabilities(probabilities, expected)),
    )
