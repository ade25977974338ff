"""MobileNetV1 (Howard et al. 2017, arXiv 1704.04861), table 1."""

from __future__ import annotations

from mobilenet_tf.models.blocks import (
    Classifier,
    ConvBlock,
    DepthwiseSeparableBlock,
    GlobalPool,
    ModelTable,
    Strides,
)

MOBILENET_V1 = ModelTable(
    name="mobilenet_v1",
    alias="v1",
    title="MobileNetV1",
    source="arXiv 1704.04861, table 1",
    activation="relu6",
    published_alphas=(0.25, 0.5, 0.75, 1.0),
    cannot={
        "squeeze_excitation": "it has no bottleneck to squeeze; MobileNetV2, V3 and V4 take it",
        "stochastic_depth": "it has no residual connection that could stand in for a block;"
        " MobileNetV2, V3 and V4 take it",
    },
    blocks=(
        # Output side:                                     imagenet plan at 224 | cifar plan at 32
        ConvBlock("conv1", 32, Strides(imagenet=2, cifar=1)),  # 112 | 32
        DepthwiseSeparableBlock(1, 64, Strides(imagenet=1, cifar=1)),  # 112 | 32
        DepthwiseSeparableBlock(2, 128, Strides(imagenet=2, cifar=1)),  # 56 | 32
        DepthwiseSeparableBlock(3, 128, Strides(imagenet=1, cifar=1)),  # 56 | 32
        DepthwiseSeparableBlock(4, 256, Strides(imagenet=2, cifar=2)),  # 28 | 16
        DepthwiseSeparableBlock(5, 256, Strides(imagenet=1, cifar=1)),  # 28 | 16
        DepthwiseSeparableBlock(6, 512, Strides(imagenet=2, cifar=2)),  # 14 | 8
        DepthwiseSeparableBlock(7, 512, Strides(imagenet=1, cifar=1)),  # 14 | 8
        DepthwiseSeparableBlock(8, 512, Strides(imagenet=1, cifar=1)),  # 14 | 8
        DepthwiseSeparableBlock(9, 512, Strides(imagenet=1, cifar=1)),  # 14 | 8
        DepthwiseSeparableBlock(10, 512, Strides(imagenet=1, cifar=1)),  # 14 | 8
        DepthwiseSeparableBlock(11, 512, Strides(imagenet=1, cifar=1)),  # 14 | 8
        DepthwiseSeparableBlock(12, 1024, Strides(imagenet=2, cifar=2)),  # 7 | 4
        # The table prints s2 here, yet gives 7x7 before and after: the stride is 1.
        DepthwiseSeparableBlock(13, 1024, Strides(imagenet=1, cifar=1)),  # 7 | 4
        GlobalPool(),
        Classifier("conv_preds", flat_name="reshape_2"),
    ),
)
