"""What others have published on CIFAR-10, with its source; none of it was measured here."""

from __future__ import annotations

from dataclasses import dataclass

DATASET = "cifar10"
CHENYAOFO, MLPERF = "pytorch-cifar-models", "MLPerf Tiny"
SOURCES = {
    CHENYAOFO: "github.com/chenyaofo/pytorch-cifar-models, README at d1c8e99, 200 epochs",
    MLPERF: "quality target in benchmark/README.md of github.com/mlcommons/tiny, and 96 KB of"
    " int8 parameters in the Linley Newsletter of 3 August 2021",
}


@dataclass(frozen=True)
class Rival:
    """A published network; a size that is not published is 4 bytes for each parameter."""

    name: str
    top1: float  # a share of the 10,000 test images
    parameters: float | None
    macs: float | None
    size_bytes: float
    source: str


def _float32(name: str, top1_percent: float, parameters_m: float, macs_m: float) -> Rival:
    parameters = parameters_m * 1e6
    return Rival(name, top1_percent / 100, parameters, macs_m * 1e6, 4 * parameters, CHENYAOFO)


RIVALS = (
    _float32("ShuffleNetV2 0.5", 90.13, 0.35, 10.90),
    _float32("MobileNetV2 0.5", 92.88, 0.70, 27.97),
    _float32("MobileNetV2 0.75", 93.72, 1.37, 59.31),
    _float32("MobileNetV2 1.0", 93.79, 2.24, 87.98),
    _float32("ShuffleNetV2 1.0", 92.98, 1.26, 45.00),
    _float32("ResNet-20", 92.60, 0.27, 40.81),
    _float32("ResNet-56", 94.37, 0.86, 125.75),
    Rival("ResNet-8 (MLPerf Tiny)", 0.85, None, None, 96e3, MLPERF),
)
