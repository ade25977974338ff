"""Why a fake-quantized network and its file differ: one cause after the other.

An op's own difference is the file's output less that of the op's Keras layers on the same input.
Added to the Keras network, those differences turn it into the file, value for value. Added kind by
kind, after the file's kernels and biases, they show each kind's share; one by one, each layer's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.debugging.layers import FloatGraph, QuantizedLayer, ReadFile, split_batches
from mobilenet_tf.evaluation.paired import OUTPUT_STEPS, compare_probabilities
from mobilenet_tf.keras import tf
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


@dataclass(frozen=True)
class Cause:
    """How closely Keras matches the file once this cause and those before it are removed.

    `same_outputs` is the share of images whose probabilities, rounded to the file's steps, all
    equal the file's; `differing_values` counts kernel values or biases that differed.
    """

    name: str
    top1_agreement: float
    mean_difference_steps: float
    largest_difference_steps: float
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


@dataclass
class _Tally:
    differing: int = 0
    count: int = 0
    largest: int = 0
    effect: float = 0.0
    moved: int = 0


def explain_difference(
    model: Any,
    constants: Mapping[str, Constants],
    layers: Sequence[QuantizedLayer],
    read_file: ReadFile,
    *,
    images: np.ndarray,
    expected: np.ndarray,
) -> tuple[list[Cause], list[LayerDifference]]:
    """Return why a fake-quantized network and its file differ, and the layers, worst first.

    `model`, whose biases may be as trained, maps (N, R, R, 3) to logits and is left with the file's
    kernels and biases; `layers` are the file's ops, `expected` its probabilities (N, C) of the
    images (N, R, R, 3) uint8. The last cause, softmax, ends at the file itself.

    Raises:
        UsageError: there is no image.
    """
    graph = FloatGraph(model)
    batches = split_batches(graph, layers, images)
    tallies = {layer.output: _Tally() for layer in layers}
    probabilities: dict[str, list[np.ndarray]] = {}
    differing: dict[str, int] = {}
    for cause in (AS_TRAINED, KERNELS, BIASES):
        if cause != AS_TRAINED:
            differing[cause] = _use_constants(graph, constants, cause)
        probabilities[cause] = [_predict(graph, {graph.input: _normalise(b)}) for b in batches]
    for batch in track(batches, "differences"):
        tensors, given = read_file(batch), {graph.input: _normalise(batch)}
        own = _measure_own(graph, layers, tallies, given[graph.input], tensors)
        _measure_effects(graph, layers, tallies, dict(given), own)
        for kind, values in _add_kinds(graph, layers, given[graph.input], own).items():
            probabilities.setdefault(kind, []).append(values)
    causes = [
        _describe(cause, np.concatenate(parts), expected, differing.get(cause))
        for cause, parts in probabilities.items()
    ]
    causes.append(_describe(SOFTMAX, expected, expected, None))
    differences = []
    for layer in layers:
        tally = tallies[layer.output]
        differences.append(
            LayerDifference(
                name=layer.name,
                op_name=layer.op_name,
                differing_share=tally.differing / tally.count,
                largest_steps=tally.largest,
                effect_steps=round(tally.effect / expected.size, 5),
                moved_top1=tally.moved / len(images),
            )
        )
    return causes, sorted(differences, key=lambda each: -each.effect_steps)


def _measure_own(
    graph: FloatGraph,
    layers: Sequence[QuantizedLayer],
    tallies: dict[str, _Tally],
    images: Any,
    tensors: Mapping[int, np.ndarray],
) -> dict[str, np.ndarray]:
    """Return each op's own difference in steps, by its output layer."""
    given = {layer.output: layer.to_real(tensors[layer.tensor]) for layer in layers}
    given[graph.input] = images
    own = {}
    for layer in layers:
        alone = layer.to_levels(graph.compute_alone(layer, given))
        difference = tensors[layer.tensor].astype(np.int32) - alone
        own[layer.output] = difference
        tally = tallies[layer.output]
        tally.differing += int(np.count_nonzero(difference))
        tally.count += difference.size
        tally.largest = max(tally.largest, int(np.abs(difference).max()))
    return own


def _measure_effects(
    graph: FloatGraph,
    layers: Sequence[QuantizedLayer],
    tallies: dict[str, _Tally],
    known: dict[str, Any],
    own: Mapping[str, np.ndarray],
) -> None:
    plain = _predict(graph, known)
    for layer in layers:
        name = layer.output
        if own[name].any():
            moved = _softmax(graph.replace(name, _shift(layer, known[name], own[name]), known))
            tally = tallies[name]
            tally.effect += float(np.abs(moved - plain).sum(dtype=np.float64)) * OUTPUT_STEPS
            tally.moved += int((moved.argmax(-1) != plain.argmax(-1)).sum())


def _add_kinds(
    graph: FloatGraph, layers: Sequence[QuantizedLayer], images: Any, own: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the probabilities after each kind of difference is added to those before."""
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


def _use_constants(graph: FloatGraph, constants: Mapping[str, Constants], cause: str) -> int:
    """Give the layers the file's kernels or biases; return how many values differed."""
    differing = 0
    for name, constant in constants.items():
        for weight in graph.layers[name].trainable_weights:
            value, role = weight.numpy(), weight.name.rsplit("/", 1)[-1]
            if cause == KERNELS and "kernel" in role:
                wanted, scale = constant.kernel, constant.kernel_scale
                # A trained kernel is compared on its 8-bit grid.
                differing += int((np.rint(value / scale) != np.rint(wanted / scale)).sum())
                weight.assign(wanted.reshape(value.shape))
            elif cause == BIASES and "bias" in role:
                differing += int((~np.isclose(value, constant.bias, rtol=1e-6, atol=0)).sum())
                weight.assign(constant.bias)
    return differing


def _normalise(images: np.ndarray) -> Any:
    return normalise(tf.constant(images))


def _predict(graph: FloatGraph, known: dict[str, Any]) -> np.ndarray:
    return _softmax(graph.compute(graph.output, known))


def _softmax(logits: Any) -> np.ndarray:
    probabilities: np.ndarray = tf.nn.softmax(logits).numpy()
    return probabilities


def _shift(layer: QuantizedLayer, value: Any, difference: np.ndarray) -> np.ndarray:
    """Return a layer's output moved by its own difference, as in the file."""
    return layer.to_real(np.clip(layer.to_levels(value.numpy()) + difference, -128, 127))


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
