"""Every model there is, by name: the papers' tables, row by row; no TensorFlow."""

from __future__ import annotations

from dataclasses import replace

from mobilenet_tf.errors import check_known
from mobilenet_tf.models.blocks import (
    KEPT,
    Block,
    Bottleneck,
    Classifier,
    ConvBlock,
    DenseBlock,
    DepthwiseSeparableBlock,
    FusedBottleneck,
    GlobalPool,
    InvertedResiduals,
    MaxPool,
    ModelTable,
    Strides,
    UniversalBottleneck,
)

_NO_BOTTLENECK = {
    "squeeze_excitation": "it has no bottleneck to squeeze; MobileNetV2, V3 and V4 take it",
    "stochastic_depth": "it has no residual connection that could stand in for a block;"
    " MobileNetV2, V3 and V4 take it",
}

_BRIDGED = {"residual": "its blocks have residual connections already; MobileNetV1 takes it"}

# Howard et al. 2017.
MOBILENET_V1 = ModelTable(
    name="mobilenet_v1",
    alias="v1",
    title="MobileNetV1",
    source="arXiv 1704.04861, table 1",
    activation="relu6",
    published_alphas=(0.25, 0.5, 0.75, 1.0),
    cannot=_NO_BOTTLENECK,
    blocks=(
        # Output side:                                     imagenet plan at 224 | cifar plan at 32
        ConvBlock("conv1", 32, Strides(imagenet=2, cifar=1)),  # 112 | 32
        DepthwiseSeparableBlock(1, 64, Strides(imagenet=1, cifar=1)),  # 112 | 32
        DepthwiseSeparableBlock(2, 128, Strides(imagenet=2, cifar=1)),  # 56 | 32
        DepthwiseSeparableBlock(3, 128, Strides(imagenet=1, cifar=1)),  # 56 | 32
        DepthwiseSeparableBlock(4, 256, Strides(imagenet=2, cifar=2, late=1)),  # 28 | 16
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

# Sandler et al. 2018.
MOBILENET_V2 = ModelTable(
    name="mobilenet_v2",
    alias="v2",
    title="MobileNetV2",
    source="arXiv 1801.04381, table 2",
    activation="relu6",
    published_alphas=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    norm_suffix="BN",
    block_names=("expanded_conv", "block_{}"),
    cannot=_BRIDGED,
    blocks=(
        # Output side:                    t   c   n  s      imagenet plan at 224 | cifar plan at 32
        ConvBlock("Conv1", 32, Strides(imagenet=2, cifar=1), norm_name="bn_Conv1"),  # 112 | 32
        InvertedResiduals(1, 16, 1, KEPT),  # 112 | 32
        InvertedResiduals(6, 24, 2, Strides(imagenet=2, cifar=1)),  # 56 | 32
        InvertedResiduals(6, 32, 3, Strides(imagenet=2, cifar=2, late=1)),  # 28 | 16
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

# Howard et al. 2019. Alpha leaves the stem as it is, and the head too unless above 1: the
# reference code's rules.
_LARGE: tuple[Block, ...] = (
    # Operator, exp size, #out, SE, NL, s; output side:   imagenet plan at 224 | cifar plan at 32
    ConvBlock("Conv", 16, Strides(2, 1), activation="hard_swish", scaling="fixed"),  # 112 | 32
    Bottleneck(3, 16, 16, False, "relu", KEPT),  # 112 | 32
    Bottleneck(3, 64, 24, False, "relu", Strides(imagenet=2, cifar=1)),  # 56 | 32
    Bottleneck(3, 72, 24, False, "relu", KEPT),  # 56 | 32
    Bottleneck(5, 72, 40, True, "relu", Strides(imagenet=2, cifar=2, late=1)),  # 28 | 16
    Bottleneck(5, 120, 40, True, "relu", KEPT),  # 28 | 16
    Bottleneck(5, 120, 40, True, "relu", KEPT),  # 28 | 16
    Bottleneck(3, 240, 80, False, "hard_swish", Strides(imagenet=2, cifar=2)),  # 14 | 8
    Bottleneck(3, 200, 80, False, "hard_swish", KEPT),  # 14 | 8
    Bottleneck(3, 184, 80, False, "hard_swish", KEPT),  # 14 | 8
    Bottleneck(3, 184, 80, False, "hard_swish", KEPT),  # 14 | 8
    Bottleneck(3, 480, 112, True, "hard_swish", KEPT),  # 14 | 8
    Bottleneck(3, 672, 112, True, "hard_swish", KEPT),  # 14 | 8
    Bottleneck(5, 672, 160, True, "hard_swish", Strides(imagenet=2, cifar=2)),  # 7 | 4
    Bottleneck(5, 960, 160, True, "hard_swish", KEPT),  # 7 | 4
    Bottleneck(5, 960, 160, True, "hard_swish", KEPT),  # 7 | 4
    ConvBlock("Conv_1", 960, KEPT, 1, activation="hard_swish", scaling="input"),  # 7 | 4
    GlobalPool(),
    DenseBlock("Conv_2", 1280, activation="hard_swish", scaling="widen"),
    Classifier("Logits"),
)

_SMALL: tuple[Block, ...] = (
    # Operator, exp size, #out, SE, NL, s; output side:   imagenet plan at 224 | cifar plan at 32
    ConvBlock("Conv", 16, Strides(2, 1), activation="hard_swish", scaling="fixed"),  # 112 | 32
    Bottleneck(3, 16, 16, True, "relu", Strides(imagenet=2, cifar=1)),  # 56 | 32
    Bottleneck(3, 72, 24, False, "relu", Strides(imagenet=2, cifar=2, late=1)),  # 28 | 16
    Bottleneck(3, 88, 24, False, "relu", KEPT),  # 28 | 16
    Bottleneck(5, 96, 40, True, "hard_swish", Strides(imagenet=2, cifar=2)),  # 14 | 8
    Bottleneck(5, 240, 40, True, "hard_swish", KEPT),  # 14 | 8
    Bottleneck(5, 240, 40, True, "hard_swish", KEPT),  # 14 | 8
    Bottleneck(5, 120, 48, True, "hard_swish", KEPT),  # 14 | 8
    Bottleneck(5, 144, 48, True, "hard_swish", KEPT),  # 14 | 8
    Bottleneck(5, 288, 96, True, "hard_swish", Strides(imagenet=2, cifar=2)),  # 7 | 4
    Bottleneck(5, 576, 96, True, "hard_swish", KEPT),  # 7 | 4
    Bottleneck(5, 576, 96, True, "hard_swish", KEPT),  # 7 | 4
    # The table prints SE here; neither its own count nor the reference code has it.
    ConvBlock("Conv_1", 576, KEPT, 1, activation="hard_swish", scaling="input"),  # 7 | 4
    GlobalPool(),
    DenseBlock("Conv_2", 1024, activation="hard_swish", scaling="widen"),
    Classifier("Logits"),
)

MOBILENET_V3_LARGE = ModelTable(
    name="mobilenet_v3_large",
    alias="v3l",
    title="MobileNetV3-Large",
    source="arXiv 1905.02244, table 1",
    activation="hard_swish",
    published_alphas=(0.75, 1.0),
    norm_suffix="BatchNorm",
    block_names=("expanded_conv", "expanded_conv_{}"),
    cannot=_BRIDGED,
    blocks=_LARGE,
)

MOBILENET_V3_SMALL = replace(
    MOBILENET_V3_LARGE,
    name="mobilenet_v3_small",
    alias="v3s",
    title="MobileNetV3-Small",
    source="arXiv 1905.02244, table 2",
    blocks=_SMALL,
)


def _simplify(row: Block) -> Block:
    if isinstance(row, Bottleneck):
        return replace(row, kernel_px=3, squeeze_excitation=False, activation="relu")
    return replace(row, activation="relu") if isinstance(row, (ConvBlock, DenseBlock)) else row


def _minimalistic(table: ModelTable) -> ModelTable:
    """Return a table as published with V3's reference code for accelerators that lack the rest.

    It has 3x3 kernels and ReLU alone, and no squeeze-and-excitation.
    """
    return replace(
        table,
        name=f"{table.name}_minimalistic",
        alias=f"{table.alias}m",
        title=f"{table.title} minimalistic",
        activation="relu",
        published_alphas=(1.0,),
        blocks=tuple(map(_simplify, table.blocks)),
        cannot={
            **table.cannot,
            "squeeze_excitation": "minimalistic means without it; mobilenet_v3_small and"
            " mobilenet_v3_large have it",
        },
    )


# Qin et al. 2024. Alpha widens the 1280 of the head only above 1, as in V2 and V3; the paper has
# no alpha.
MOBILENET_V4_CONV_SMALL = ModelTable(
    name="mobilenet_v4_conv_small",
    alias="v4s",
    title="MobileNetV4-Conv-Small",
    source="arXiv 2404.10518, appendix, Conv-S",
    activation="relu",
    cannot=_BRIDGED,
    blocks=(
        # DW K1, DW K2, expanded dim, output dim, stride;  imagenet plan at 224 | cifar plan at 32
        ConvBlock("conv_stem", 32, Strides(imagenet=2, cifar=1)),  # 112 | 32
        FusedBottleneck(3, 32, 32, Strides(imagenet=2, cifar=1), activated=True),  # 56 | 32
        FusedBottleneck(3, 96, 64, Strides(imagenet=2, cifar=2, late=1), activated=True),  # 28 | 16
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
    cannot=_BRIDGED,
    blocks=(
        # DW K1, DW K2, expanded dim, output dim, stride;  imagenet plan at 256 | cifar plan at 32
        ConvBlock("conv_stem", 32, Strides(imagenet=2, cifar=1)),  # 128 | 32
        FusedBottleneck(3, 128, 48, Strides(imagenet=2, cifar=1)),  # 64 | 32
        UniversalBottleneck(3, 5, 192, 80, Strides(imagenet=2, cifar=2, late=1)),  # 32 | 16
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

# Krizhevsky et al. 2012, "ImageNet classification with deep convolutional networks". The yardstick:
# what a network costs that was not made for phones. Section 3.5 adapted: one tower, no groups;
# batch normalization in place of local response normalization, which no int8 kernel has and which
# does not fold; "same" padding, which leaves 7x7 instead of 6x6 before the first dense layer; and
# for small images a 5x5 kernel instead of the 11x11 one.
ALEXNET = ModelTable(
    name="alexnet",
    alias="alex",
    title="AlexNet",
    source="Krizhevsky 2012, section 3.5",
    activation="relu",
    dropout=0.5,
    cannot={
        **_NO_BOTTLENECK,
        "residual": "it has no block that one could bridge; MobileNetV1 takes it",
        "head_units": "it has two hidden dense layers of its own, fc6 and fc7",
        "block_count": "it is stem and head only, with no row of blocks between them",
    },
    blocks=(
        # Output side:                                     imagenet plan at 224 | cifar plan at 32
        ConvBlock("conv1", 96, Strides(4, 2), kernel_px=Strides(imagenet=11, cifar=5)),  # 56 | 16
        MaxPool("pool1", Strides(imagenet=2, cifar=2)),  # 28 | 8
        ConvBlock("conv2", 256, KEPT, kernel_px=5),  # 28 | 8
        MaxPool("pool2", Strides(imagenet=2, cifar=2)),  # 14 | 4
        ConvBlock("conv3", 384, KEPT),  # 14 | 4
        ConvBlock("conv4", 384, KEPT),  # 14 | 4
        ConvBlock("conv5", 256, KEPT),  # 14 | 4
        MaxPool("pool5", Strides(imagenet=2, cifar=2)),  # 7 | 2
        DenseBlock("fc6", 4096),
        DenseBlock("fc7", 4096, dropped=True),
        Classifier("fc8"),
    ),
)

MODELS: dict[str, ModelTable] = {
    table.name: table
    for table in (
        MOBILENET_V1,
        MOBILENET_V2,
        MOBILENET_V3_SMALL,
        MOBILENET_V3_LARGE,
        _minimalistic(MOBILENET_V3_SMALL),
        _minimalistic(MOBILENET_V3_LARGE),
        MOBILENET_V4_CONV_SMALL,
        MOBILENET_V4_CONV_MEDIUM,
        ALEXNET,
    )
}


def model_names() -> tuple[str, ...]:
    """Return the models' names, MobileNets in the order of their papers."""
    return tuple(MODELS)


def model_table(name: str) -> ModelTable:
    """Return the table of the model called `name`.

    Raises:
        UsageError: there is no such model; the message names the nearest.
    """
    check_known("model", name, MODELS)
    return MODELS[name]
