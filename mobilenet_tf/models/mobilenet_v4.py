"""MobileNetV4-Conv (Qin et al. 2024, arXiv 2404.10518), the appendix: Conv-S and Conv-M."""

from __future__ import annotations

from mobilenet_tf.models.blocks import (
    KEPT,
    Classifier,
    ConvBlock,
    FusedBottleneck,
    GlobalPool,
    ModelTable,
    Strides,
    UniversalBottleneck,
)

# Alpha widens the 1280 of the head only above 1, as in V2 and V3; the paper has no alpha.
MOBILENET_V4_CONV_SMALL = ModelTable(
    name="mobilenet_v4_conv_small",
    alias="v4s",
    title="MobileNetV4-Conv-Small",
    source="arXiv 2404.10518, appendix, Conv-S",
    activation="relu",
    published_alphas=(1.0,),
    blocks=(
        # DW K1, DW K2, expanded dim, output dim, stride;  imagenet plan at 224 | cifar plan at 32
        ConvBlock("conv_stem", 32, Strides(imagenet=2, cifar=1)),  # 112 | 32
        FusedBottleneck(3, 32, 32, Strides(imagenet=2, cifar=1), activated=True),  # 56 | 32
        FusedBottleneck(3, 96, 64, Strides(imagenet=2, cifar=2), activated=True),  # 28 | 16
        UniversalBottleneck(5, 5, 192, 96, Strides(imagenet=2, cifar=2)),  # 14 | 8
        UniversalBottleneck(0, 3, 192, 96, KEPT),  # 14 | 8
        UniversalBottleneck(0, 3, 192, 96, KEPT),  # 14 | 8
        UniversalBottleneck(0, 3, 192, 96, KEPT),  # 14 | 8
        UniversalBottleneck(0, 3, 192, 96, KEPT),  # 14 | 8
        UniversalBottleneck(3, 0, 384, 96, KEPT),  # 14 | 8
        UniversalBottleneck(3, 3, 576, 128, Strides(imagenet=2, cifar=2)),  # 7 | 4
        UniversalBottleneck(5, 5, 512, 128, KEPT),  # 7 | 4
        UniversalBottleneck(0, 5, 512, 128, KEPT),  # 7 | 4
        UniversalBottleneck(0, 5, 384, 128, KEPT),  # 7 | 4
        UniversalBottleneck(0, 3, 512, 128, KEPT),  # 7 | 4
        UniversalBottleneck(0, 3, 512, 128, KEPT),  # 7 | 4
        ConvBlock("conv_last", 960, KEPT, kernel_px=1),  # 7 | 4
        GlobalPool(),
        ConvBlock("conv_head", 1280, KEPT, kernel_px=1, scaling="widen"),  # 1 | 1
        Classifier("classifier"),
    ),
)

MOBILENET_V4_CONV_MEDIUM = ModelTable(
    name="mobilenet_v4_conv_medium",
    alias="v4m",
    title="MobileNetV4-Conv-Medium",
    source="arXiv 2404.10518, appendix, Conv-M",
    activation="relu",
    published_alphas=(1.0,),
    blocks=(
        # DW K1, DW K2, expanded dim, output dim, stride;  imagenet plan at 256 | cifar plan at 32
        ConvBlock("conv_stem", 32, Strides(imagenet=2, cifar=1)),  # 128 | 32
        FusedBottleneck(3, 128, 48, Strides(imagenet=2, cifar=1)),  # 64 | 32
        UniversalBottleneck(3, 5, 192, 80, Strides(imagenet=2, cifar=2)),  # 32 | 16
        UniversalBottleneck(3, 3, 160, 80, KEPT),  # 32 | 16
        UniversalBottleneck(3, 5, 480, 160, Strides(imagenet=2, cifar=2)),  # 16 | 8
        UniversalBottleneck(3, 3, 640, 160, KEPT),  # 16 | 8
        UniversalBottleneck(3, 3, 640, 160, KEPT),  # 16 | 8
        UniversalBottleneck(3, 5, 640, 160, KEPT),  # 16 | 8
        UniversalBottleneck(3, 3, 640, 160, KEPT),  # 16 | 8
        UniversalBottleneck(3, 0, 640, 160, KEPT),  # 16 | 8
        UniversalBottleneck(0, 0, 320, 160, KEPT),  # 16 | 8
        UniversalBottleneck(3, 0, 640, 160, KEPT),  # 16 | 8
        UniversalBottleneck(5, 5, 960, 256, Strides(imagenet=2, cifar=2)),  # 8 | 4
        UniversalBottleneck(5, 5, 1024, 256, KEPT),  # 8 | 4
        UniversalBottleneck(3, 5, 1024, 256, KEPT),  # 8 | 4
        UniversalBottleneck(3, 5, 1024, 256, KEPT),  # 8 | 4
        UniversalBottleneck(0, 0, 1024, 256, KEPT),  # 8 | 4
        UniversalBottleneck(3, 0, 1024, 256, KEPT),  # 8 | 4
        UniversalBottleneck(3, 5, 512, 256, KEPT),  # 8 | 4
        UniversalBottleneck(5, 5, 1024, 256, KEPT),  # 8 | 4
        UniversalBottleneck(0, 0, 1024, 256, KEPT),  # 8 | 4
        UniversalBottleneck(0, 0, 1024, 256, KEPT),  # 8 | 4
        UniversalBottleneck(5, 0, 512, 256, KEPT),  # 8 | 4
        ConvBlock("conv_last", 960, KEPT, kernel_px=1),  # 8 | 4
        GlobalPool(),
        ConvBlock("conv_head", 1280, KEPT, kernel_px=1, scaling="widen"),  # 1 | 1
        Classifier("classifier"),
    ),
)
