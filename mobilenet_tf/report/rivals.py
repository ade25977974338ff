"""What others have published on CIFAR-10, with its source; none of it was measured here."""

from __future__ import annotations

from dataclasses import dataclass

DATASET = "cifar10"
CHENYAOFO, MLPERF = "pytorch-cifar-models", "MLPerf Tiny"
TINIEST, CONDENSENET, TFMOT = "cifar10-tiniest", "CondenseNet", "tfmot"
SOURCES = {
    CHENYAOFO: "github.com/chenyaofo/pytorch-cifar-models, README at d1c8e99, 200 epochs",
    MLPERF: "quality target in benchmark/README.md of github.com/mlcommons/tiny, and 96 KB of"
    " int8 parameters in the Linley Newsletter of 3 August 2021",
    TINIEST: "github.com/xvel/cifar10-tiniest, README at 308338f, 200 epochs, mean of five runs",
    CONDENSENET: "github.com/ShichenLiu/CondenseNet, README at 011b71d, paper 1711.09224",
    TFMOT: "int8 after QAT, in guide/combine/collaborative_optimization.md of"
    " github.com/tensorflow/model-optimization at 3327f63",
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


def _float32(
    source: str, name: str, top1_percent: float, parameters_m: float, macs_m: float | None
) -> Rival:
    parameters, macs = parameters_m * 1e6, None if macs_m is None else macs_m * 1e6
    return Rival(name, top1_percent / 100, parameters, macs, 4 * parameters, source)


RIVALS = (  # by size
    Rival("ResNet-8", 0.85, None, None, 96e3, MLPERF),
    _float32(TINIEST, "Tiniest", 94.4, 0.09753, None),
    _float32(CONDENSENET, "CondenseNet-50", 93.78, 0.22, 28.6),
    _float32(CHENYAOFO, "ResNet-20", 92.60, 0.27, 40.81),
    _float32(CHENYAOFO, "ShuffleNetV2 0.5", 90.13, 0.35, 10.90),
    _float32(CONDENSENET, "CondenseNet-74", 94.72, 0.41, 51.9),
    _float32(CONDENSENET, "CondenseNet-98", 95.17, 0.65, 81.3),
    _float32(CHENYAOFO, "MobileNetV2 0.5", 92.88, 0.70, 27.97),
    Rival("MobileNetV1", 0.9477, None, None, 2.84e6, TFMOT),
    _float32(CHENYAOFO, "ResNet-56", 94.37, 0.86, 125.75),
    _float32(CHENYAOFO, "ShuffleNetV2 1.0", 92.98, 1.26, 45.00),
    _float32(CHENYAOFO, "MobileNetV2 0.75", 93.72, 1.37, 59.31),
    _float32(CHENYAOFO, "MobileNetV2 1.0", 93.79, 2.24, 87.98),
)
