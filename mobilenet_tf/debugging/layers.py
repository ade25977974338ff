"""Where accuracy goes: a float network against its int8 file, layer by layer.

Three errors are told apart. What has piled up: the file's tensor against the float network's. What
is the layer's own: the file's tensor against the float layer on the very input that the file gave
it. And what that costs: the logits of the float network with this one layer's own error in it.
Layers are ranked by the last, which sees neither what came before nor the size of a tensor's
values; a per-tensor ratio alone overlooks small channels beside a large one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.errors import UsageError
from mobilenet_tf.keras import tf
from mobilenet_tf.quantization.folding import read_kernel
from mobilenet_tf.quantization.qat import WRAPPER_PREFIX, plain_name
from mobilenet_tf.system.terminal import track

LEVELS = 256
HIGHEST_DB = 120.0  # given where nothing differs at all
_BATCH_VALUES = 1 << 23  # activations held at a time: 32 MB as float32
_LARGEST_BATCH = 50


@dataclass(frozen=True)
class QuantizedLayer:
    """One op of an int8 file and the Keras layers it stands for; names are the Keras layers'.

    `name` is the layer with the kernel (the op's output layer where it has none), `output` the
    one whose output the op's tensor holds, `sources` the outputs it reads.
    """

    name: str
    output: str
    sources: tuple[str, ...]
    op_index: int
    op_name: str
    tensor: int
    scale: float
    zero_point: int


@dataclass(frozen=True)
class LayerFidelity:
    """How faithful one layer of the file is; ratios are signal to noise in dB, shares 0 to 1.

    `effect_db` is that of the logits with this layer's own error alone, `own_snr_db` of the layer
    by itself, `snr_db` of everything up to here. Errors are in steps of the layer's output.
    `saturated_share` counts real values out of the range; `rounding_share` is how much of the
    layer's own error its output's range and steps make (the rest is the kernel's). Spreads are the
    largest channel's range over the smallest's, channels of nothing but zeros left out. A value
    that does not exist is None: no signal, no kernel.
    """

    name: str
    output: str
    op_name: str
    effect_db: float | None
    own_snr_db: float | None
    snr_db: float | None
    cosine: float | None
    saturated_share: float
    range_used_share: float
    largest_error_steps: float
    own_largest_error_steps: float
    rounding_share: float
    kernel_spread: float | None
    output_spread: float | None


ReadFile = Callable[[np.ndarray], Mapping[int, np.ndarray]]
"""Bytes (N, R, R, 3) uint8 -> the file's int8 tensors by number, each (N, …)."""


def compare_layers(
    model: Any, layers: Sequence[QuantizedLayer], read_file: ReadFile, images: np.ndarray
) -> list[LayerFidelity]:
    """Return how faithful each layer is over images (N, R, R, 3) uint8, the worst first.

    `model` is the float functional network, batch normalisation folded, (N, R, R, 3) to logits.

    Raises:
        UsageError: there is no image.
    """
    if not len(images):
        raise UsageError("there is no image to compare on; give at least one")
    graph = FloatGraph(model)
    tallies = {layer.output: _Tally() for layer in layers}
    size = batch_size(graph, layers)
    for start in track(range(0, len(images), size), "layers"):
        batch = images[start : start + size]
        _compare_batch(graph, layers, tallies, batch, read_file(batch))
    found = [_describe(layer, tallies[layer.output], graph) for layer in layers]
    return sorted(found, key=lambda layer: _rank(layer.effect_db))


def batch_size(graph: FloatGraph, layers: Sequence[QuantizedLayer]) -> int:
    """Return how many images' activations to hold at a time."""
    values = sum(math.prod(graph.layers[layer.output].output_shape[1:]) for layer in layers)
    return max(1, min(_LARGEST_BATCH, _BATCH_VALUES // values))


def round_to_levels(layer: QuantizedLayer, values: np.ndarray) -> np.ndarray:
    """Return real values as int32 levels of a layer's output, not cut off at -128 and 127."""
    levels: np.ndarray = np.rint(values / layer.scale).astype(np.int32) + layer.zero_point
    return levels


class FloatGraph:
    """A functional model whose every layer's output can be read, or replaced.

    Layers go by the names that they have in the float network, whether wrapped or not.
    """

    def __init__(self, model: Any) -> None:
        self.layers = {plain_name(layer): layer for layer in model.layers}
        self.sources = {plain_name(layer): _source_names(layer) for layer in model.layers}
        self.input = str(model.input_names[0])
        self.output = str(model.output_names[0]).removeprefix(WRAPPER_PREFIX)

    def compute(self, name: str, known: dict[str, Any]) -> Any:
        """Return a layer's output from those known, which grow by what is computed."""
        if name not in known:
            inputs = [self.compute(source, known) for source in self.sources[name]]
            layer = self.layers[name]
            known[name] = layer(inputs if len(inputs) > 1 else inputs[0], training=False)
        return known[name]

    def list_dependents(self, name: str) -> set[str]:
        """Return the layer and all that depend on it."""
        found = {name}
        for layer, sources in self.sources.items():  # a model lists its layers in their order
            if found.intersection(sources):
                found.add(layer)
        return found

    def list_group(self, layer: QuantizedLayer) -> Iterator[str]:
        """Yield the Keras layers that an op stands for, its output's first."""
        waiting = [layer.output]
        while waiting:
            name = waiting.pop()
            if name in layer.sources or name == self.input:
                continue
            yield name
            waiting += self.sources[name]


def _source_names(layer: Any) -> tuple[str, ...]:
    if not layer.inbound_nodes or type(layer).__name__ == "InputLayer":
        return ()
    inputs = layer.input if isinstance(layer.input, list) else [layer.input]
    return tuple(plain_name(tensor._keras_history.layer) for tensor in inputs)


@dataclass
class _Tally:
    """Sums over images, in float64."""

    signal: float = 0.0
    noise: float = 0.0
    power: float = 0.0
    product: float = 0.0
    own_signal: float = 0.0
    own_noise: float = 0.0
    rounding_noise: float = 0.0
    logits_signal: float = 0.0
    logits_noise: float = 0.0
    largest: float = 0.0
    own_largest: float = 0.0
    saturated: int = 0
    count: int = 0
    lowest_level: int = LEVELS
    highest_level: int = -LEVELS
    channel_peaks: np.ndarray = field(default_factory=lambda: np.zeros(1))


def _compare_batch(
    graph: FloatGraph,
    layers: Sequence[QuantizedLayer],
    tallies: dict[str, _Tally],
    images: np.ndarray,
    tensors: Mapping[int, np.ndarray],
) -> None:
    scaled: Any = normalise(tf.constant(images))
    known = {graph.input: scaled}
    graph.compute(graph.output, known)
    logits = known[graph.output].numpy()
    given = {graph.input: scaled.numpy()}
    for layer in layers:
        levels = tensors[layer.tensor]
        given[layer.output] = (levels.astype(np.float32) - layer.zero_point) * layer.scale
    for layer in layers:
        tally = tallies[layer.output]
        real, got = known[layer.output].numpy(), given[layer.output]
        inputs = {source: tf.constant(given[source]) for source in layer.sources}
        own = graph.compute(layer.output, inputs).numpy()
        _add_errors(tally, layer, real, got, own)
        levels = tensors[layer.tensor]
        tally.lowest_level = min(tally.lowest_level, int(levels.min()))
        tally.highest_level = max(tally.highest_level, int(levels.max()))
        dependents = graph.list_dependents(layer.output)
        kept = {name: value for name, value in known.items() if name not in dependents}
        kept[layer.output] = tf.constant(real + (got - own))
        disturbed = graph.compute(graph.output, kept).numpy()
        tally.logits_signal += _energy(logits)
        tally.logits_noise += _energy(disturbed - logits)


def _add_errors(
    tally: _Tally, layer: QuantizedLayer, real: np.ndarray, got: np.ndarray, own: np.ndarray
) -> None:
    tally.signal += _energy(real)
    tally.power += _energy(got)
    tally.product += float(np.multiply(real, got, dtype=np.float64).sum())
    tally.noise += _energy(got - real)
    tally.own_signal += _energy(own)
    tally.own_noise += _energy(got - own)
    levels = np.rint(own / layer.scale) + layer.zero_point
    nearest = np.clip(levels, -LEVELS // 2, LEVELS // 2 - 1)
    tally.rounding_noise += _energy((nearest - layer.zero_point) * layer.scale - own)
    tally.saturated += int((levels != nearest).sum())
    tally.count += levels.size
    tally.largest = max(tally.largest, float(np.abs(got - real).max()) / layer.scale)
    tally.own_largest = max(tally.own_largest, float(np.abs(got - own).max()) / layer.scale)
    peaks = np.abs(real).max(axis=tuple(range(real.ndim - 1)))
    tally.channel_peaks = np.maximum(tally.channel_peaks, peaks)


def _energy(values: np.ndarray) -> float:
    return float(np.square(values, dtype=np.float64).sum())


def _describe(layer: QuantizedLayer, tally: _Tally, graph: FloatGraph) -> LayerFidelity:
    lengths = math.sqrt(tally.signal * tally.power)
    return LayerFidelity(
        name=layer.name,
        output=layer.output,
        op_name=layer.op_name,
        effect_db=to_decibels(tally.logits_signal, tally.logits_noise),
        own_snr_db=to_decibels(tally.own_signal, tally.own_noise),
        snr_db=to_decibels(tally.signal, tally.noise),
        cosine=min(1.0, tally.product / lengths) if lengths else None,
        saturated_share=tally.saturated / tally.count,
        range_used_share=(tally.highest_level - tally.lowest_level + 1) / LEVELS,
        largest_error_steps=round(tally.largest, 2),
        own_largest_error_steps=round(tally.own_largest, 2),
        rounding_share=min(1.0, tally.rounding_noise / tally.own_noise) if tally.own_noise else 0.0,
        kernel_spread=measure_kernel_spread(graph.layers[layer.name]),
        output_spread=_measure_spread(tally.channel_peaks),
    )


def _rank(decibels: float | None) -> float:
    return math.inf if decibels is None else decibels


def to_decibels(signal: float, noise: float) -> float | None:
    """Return a ratio of energies in dB, at most 120; None without a signal."""
    if signal <= 0:
        return None
    if noise <= 0:
        return HIGHEST_DB
    return round(min(HIGHEST_DB, 10 * math.log10(signal / noise)), 2)


def measure_kernel_spread(layer: Any) -> float | None:
    """Return the largest over the smallest range of a Keras layer's output channels.

    Channels of nothing but zeros do not count; None for a layer without a kernel.
    """
    kernel = read_kernel(layer)
    if kernel is None:
        return None
    # A depthwise kernel's outputs are its two last axes, (channels, multiplier).
    outputs = 2 if "Depthwise" in type(layer).__name__ else 1
    return _measure_spread(np.abs(kernel).max(axis=tuple(range(kernel.ndim - outputs))).reshape(-1))


def _measure_spread(ranges: np.ndarray) -> float | None:
    alive = ranges[ranges > 0]
    return round(float(alive.max() / alive.min()), 2) if len(alive) else None
