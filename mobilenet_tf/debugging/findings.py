"""The results of `mtf quant-debug`, as written to RUN/quant-debug/."""

from __future__ import annotations

from dataclasses import dataclass

from mobilenet_tf.debugging.causes import Cause, LayerDifference
from mobilenet_tf.debugging.layers import LayerFidelity
from mobilenet_tf.recipe import Quantization
from mobilenet_tf.runs.results import Parity


@dataclass(frozen=True)
class Differences:
    """Why a file differs from its fake-quantized network, with one set of kernels."""

    causes: tuple[Cause, ...]
    layers: tuple[LayerDifference, ...]


@dataclass(frozen=True)
class ParityExplained:
    """The differences with both kernel sets, and how far the two are from each other."""

    count: int
    xnnpack: Differences
    reference: Differences
    between_kernels: Parity


@dataclass(frozen=True)
class KeptFloat:
    """A file with some layers in float: its accuracy and cost."""

    layers: tuple[str, ...]
    file: str
    top1: float
    size_bytes: int
    added_bytes: int
    latency_median_ms: float
    int8_latency_median_ms: float
    threads: int


@dataclass(frozen=True)
class Diagnosis:
    """An int8 file against its float network; `layers` has the worst first.

    `images` says which split was compared on; accuracy is that on `accuracy_count` images of it.
    """

    run: str
    file: str
    quantization: Quantization
    images: str
    compared_count: int
    accuracy_count: int
    float_top1: float
    file_top1: float
    layers: tuple[LayerFidelity, ...]
    advice: str
    parity: ParityExplained | None = None
    keep_float: KeptFloat | None = None
