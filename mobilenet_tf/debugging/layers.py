"""Where accuracy goes: a float network against its int8 file, layer by layer.

Three errors are measured. Accumulated: the file's tensor against the float network's. Own: the
file's tensor against the float layer on the file's own input. Effect: the float network's logits
with and without that own error. Layers are ranked by the effect: a ratio per tensor alone overlooks
small channels beside a large one.
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
HIGHEST_DB = 120.0  # where nothing differs
_BATCH_VALUES = 1 << 23  # activations held at a time: 32 MB as float32
_LARGEST_BATCH = 50


@dataclass(frozen=True)
class QuantizedLayer:
    """One op of an int8 file and its Keras layers.

    `name` is the layer with the kernel (the output layer where there is none), `output` the layer
    whose output the op's tensor holds, `sources` the layers that it reads.
    """

    name: str
    output: str
    sources: tuple[str, ...]
    op_index: int
    op_name: str
    tensor: int
    scale: float
    zero_point: int

    def to_real(self, levels: np.ndarray) -> np.ndarray:
        """Return int8 levels of the output as float32 real values."""
        return (levels.astype(np.float32) - self.zero_point) * np.float32(self.scale)

    def to_levels(self, values: np.ndarray) -> np.ndarray:
        """Return real values as int32 levels of the output, not clipped to int8."""
        levels: np.ndarray = np.rint(values / self.scale).astype(np.int32) + self.zero_point
        return levels


@dataclass(frozen=True)
class LayerFidelity:
    """How faithful one layer of the file is: ratios are signal to noise in dB, shares 0 to 1.

    `effect_db` is the effect on the logits, `own_snr_db` the layer's own error, `snr_db` the
    accumulated one (None: no signal). Errors are in steps of the output. `rounding_share` is the
    part of the own error that comes from the output's range and steps; the kernel makes the rest.
    Spreads are the largest channel's range over the smallest's, zero channels left out.
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
    graph = FloatGraph(model)
    tallies = {layer.output: _Tally() for layer in layers}
    for batch in track(split_batches(graph, layers, images), "layers"):
        _compare_batch(graph, layers, tallies, batch, read_file(batch))
    described = [_describe(layer, tallies[layer.output], graph) for layer in layers]
    return sorted(
        described, key=lambda layer: math.inf if layer.effect_db is None else layer.effect_db
    )


def split_batches(
    graph: FloatGraph, layers: Sequence[QuantizedLayer], images: np.ndarray
) -> list[np.ndarray]:
    """Return the images in batches whose activations fit into memory.

    Raises:
        UsageError: there is no image.
    """
    if not len(images):
        raise UsageError("there is no image to compare on; give at least one")
    values = sum(math.prod(graph.layers[layer.output].output_shape[1:]) for layer in layers)
    size = max(1, min(_LARGEST_BATCH, _BATCH_VALUES // values))
    return [images[start : start + size] for start in range(0, len(images), size)]


class FloatGraph:
    """A functional model whose layers' outputs can be read or replaced, by their float names."""

    def __init__(self, model: Any) -> None:
        self.layers = {plain_name(layer): layer for layer in model.layers}
        self.sources = {plain_name(layer): _source_names(layer) for layer in model.layers}
        self.input = str(model.input_names[0])
        self.output = str(model.output_names[0]).removeprefix(WRAPPER_PREFIX)

    def compute(self, name: str, known: dict[str, Any]) -> Any:
        """Return a layer's output from those in `known`, and add to them what is computed."""
        if name not in known:
            inputs = [self.compute(source, known) for source in self.sources[name]]
            layer = self.layers[name]
            known[name] = layer(inputs if len(inputs) > 1 else inputs[0], training=False)
        return known[name]

    def compute_alone(self, layer: QuantizedLayer, given: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the output of an op's layers on `given` inputs."""
        inputs = {source: tf.constant(given[source]) for source in layer.sources}
        output: np.ndarray = self.compute(layer.output, inputs).numpy()
        return output

    def replace(self, name: str, value: np.ndarray, known: Mapping[str, Any]) -> np.ndarray:
        """Return the logits with a layer's output replaced, the rest as in `known`."""
        dependents = {name}
        for layer, sources in self.sources.items():  # a model lists its layers in their order
            if dependents.intersection(sources):
                dependents.add(layer)
        values = {name: value for name, value in known.items() if name not in dependents}
        values[name] = tf.constant(value)
        logits: np.ndarray = self.compute(self.output, values).numpy()
        return logits

    def list_group(self, layer: QuantizedLayer) -> Iterator[str]:
        """Yield the Keras layers of an op, its output's first."""
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
    logits = graph.compute(graph.output, known).numpy()
    given = {layer.output: layer.to_real(tensors[layer.tensor]) for layer in layers}
    given[graph.input] = scaled.numpy()
    for layer in layers:
        tally, levels = tallies[layer.output], tensors[layer.tensor]
        real, got = known[layer.output].numpy(), given[layer.output]
        own = graph.compute_alone(layer, given)
        _add_errors(tally, layer, real, got, own)
        tally.lowest_level = min(tally.lowest_level, int(levels.min()))
        tally.highest_level = max(tally.highest_level, int(levels.max()))
        disturbed = graph.replace(layer.output, real + (got - own), known)
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
    levels = layer.to_levels(own)
    nearest = np.clip(levels, -128, 127)
    tally.rounding_noise += _energy(layer.to_real(nearest) - own)
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


def to_decibels(signal: float, noise: float) -> float | None:
    """Return a ratio of energies in dB, at most 120; None without a signal."""
    if signal <= 0:
        return None
    if noise <= 0:
        return HIGHEST_DB
    return round(min(HIGHEST_DB, 10 * math.log10(signal / noise)), 2)


def measure_kernel_spread(layer: Any) -> float | None:
    """Return the spread of a Keras layer's kernel ranges over its channels; None without one."""
    kernel = read_kernel(layer)
    if kernel is None:
        return None
    # A depthwise kernel's outputs are its two last axes, (channels, multiplier).
    outputs = 2 if "Depthwise" in type(layer).__name__ else 1
    return _measure_spread(np.abs(kernel).max(axis=tuple(range(kernel.ndim - outputs))).reshape(-1))


def _measure_spread(ranges: np.ndarray) -> float | None:
    alive = ranges[ranges > 0]
    return round(float(alive.max() / alive.min()), 2) if len(alive) else None
