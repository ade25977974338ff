"""Where accuracy goes: a float network against its int8 file, layer by layer.

Three errors are measured. Accumulated: the file's tensor against the float network's. Own: the
file's tensor against the float layer on the file's own input. Effect: the float network's logits
with and without that own error. Layers are ranked by the effect: a ratio per tensor alone overlooks
small channels beside a large one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from mobilenet_tf.debugging.alignment import Alignment, QuantizedLayer
from mobilenet_tf.quantization.folding import read_kernel
from mobilenet_tf.system.terminal import track

LEVELS = 256
HIGHEST_DB = 120.0  # where nothing differs
Measured = tuple[dict[str, float], dict[str, Any]]  # sums and peaks over a batch


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


def compare_layers(alignment: Alignment, images: np.ndarray) -> list[LayerFidelity]:
    """Return how faithful each layer is over images (N, R, R, 3) uint8, the worst first.

    The network is the float one, batch normalisation folded.

    Raises:
        UsageError: there is no image.
    """
    graph = alignment.graph
    measured: dict[str, list[Measured]] = {layer.output: [] for layer in alignment.layers}
    for batch in track(alignment.split_batches(images), "layers"):
        levels, given = alignment.read(batch)
        known = {graph.input: given[graph.input]}
        logits = graph.compute(graph.output, known).numpy()
        for layer in alignment.layers:
            name = layer.output
            own, real = graph.compute_alone(layer, given), known[name].numpy()
            change = graph.replace(name, real + (given[name] - own), known) - logits
            sums, peaks = _measure(layer, levels[name], real, own)
            sums |= {"logits": _energy(logits), "logits_noise": _energy(change)}
            measured[name].append((sums, peaks))
    described = [
        _describe(each, measure_kernel_spread(graph.layers[each.name]), measured[each.output])
        for each in alignment.layers
    ]
    return sorted(
        described, key=lambda layer: math.inf if layer.effect_db is None else layer.effect_db
    )


def _measure(
    layer: QuantizedLayer, levels: np.ndarray, real: np.ndarray, own: np.ndarray
) -> Measured:
    """Return what adds up over images, energies and counts, and what only the largest of counts."""
    got, wanted = layer.to_real(levels), layer.to_levels(own)
    nearest = np.clip(wanted, -128, 127)
    sums = {
        "signal": _energy(real),
        "noise": _energy(got - real),
        "power": _energy(got),
        "product": float(np.multiply(real, got, dtype=np.float64).sum()),
        "own_signal": _energy(own),
        "own_noise": _energy(got - own),
        "rounding_noise": _energy(layer.to_real(nearest) - own),
        "saturated": int((wanted != nearest).sum()),
        "count": wanted.size,
    }
    peaks = {
        "error": np.abs(got - real).max() / layer.scale,
        "own_error": np.abs(got - own).max() / layer.scale,
        "level": int(levels.max()),
        "negative_level": -int(levels.min()),
        "channels": np.abs(real).max(axis=tuple(range(real.ndim - 1))),
    }
    return sums, peaks


def _energy(values: np.ndarray) -> float:
    return float(np.square(values, dtype=np.float64).sum())


def _describe(
    layer: QuantizedLayer, kernel_spread: float | None, measured: Sequence[Measured]
) -> LayerFidelity:
    first_sums, first_peaks = measured[0]
    sums = {key: sum(each[key] for each, _ in measured) for key in first_sums}
    peaks = {key: reduce(np.maximum, [each[key] for _, each in measured]) for key in first_peaks}
    lengths = math.sqrt(sums["signal"] * sums["power"])
    rounding, own_noise = sums["rounding_noise"], sums["own_noise"]
    return LayerFidelity(
        name=layer.name,
        output=layer.output,
        op_name=layer.op_name,
        effect_db=to_decibels(sums["logits"], sums["logits_noise"]),
        own_snr_db=to_decibels(sums["own_signal"], own_noise),
        snr_db=to_decibels(sums["signal"], sums["noise"]),
        cosine=min(1.0, sums["product"] / lengths) if lengths else None,
        saturated_share=sums["saturated"] / sums["count"],
        range_used_share=int(peaks["level"] + peaks["negative_level"] + 1) / LEVELS,
        largest_error_steps=round(float(peaks["error"]), 2),
        own_largest_error_steps=round(float(peaks["own_error"]), 2),
        rounding_share=min(1.0, rounding / own_noise) if own_noise else 0.0,
        kernel_spread=kernel_spread,
        output_spread=_measure_spread(peaks["channels"]),
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
