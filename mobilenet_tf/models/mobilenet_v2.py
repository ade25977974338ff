"""MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381), table 2."""

from __future__ import annotations

from mobilenet_tf.models.blocks import (
    KEPT,
    Classifier,
    ConvBlock,
    GlobalPool,
    InvertedResiduals,
    ModelTable,
    Strides,
)

MOBILENET_V2 = ModelTable(
    name="mobilenet_v2",
    alias="v2",
    title="MobileNetV2",
    source="arXiv 1801.04381, table 2",
    activation="relu6",
    published_alphas=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    norm_suffix="BN",
    block_names=("expanded_conv", "block_{}"),
    blocks=(
        # Output side:                    t   c   n  s      imagenet plan at 224 | cifar plan at 32
        ConvBlock("Conv1", 32, Strides(imagenet=2, cifar=1), norm_name="bn_Conv1"),  # 112 | 32
        InvertedResiduals(1, 16, 1, KEPT),  # 112 | 32
        InvertedResiduals(6, 24, 2, Strides(imagenet=2, cifar=1)),  # 56 | 32
        InvertedResiduals(6, 32, 3, Strides(imagenet=2, cifar=2)),  # 28 | 16
        InvertedResiduals(6, 64, 4, Strides(imagenet=2, cifar=2)),  # 14 | 8
        InvertedResiduals(6, 96, 3, KEPT),  # 14 | 8
        InvertedResiduals(6, 160, 3, Strides(imagenet=2, cifar=2)),  # 7 | 4
        InvertedResiduals(6, 320, 1, KEPT),  # 7 | 4
        # Section 6.1: multipliers below one leave the last layer as it is.
        ConvBlock(
            "Conv_1",
            1280,
            KEPT,
            kernel_px=1,
            scaling="widen",
            norm_name="Conv_1_bn",
            activated_name="out",
        ),  # 7 | 4
        GlobalPool(),
        Classifier("predictions"),
    ),
)
