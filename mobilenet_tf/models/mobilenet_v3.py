"""MobileNetV3 (Howard et al. 2019, arXiv 1905.02244), tables 1 and 2, and what became of them.

The minimalistic variants, published with the reference code, are the same tables with 3x3 kernels
and ReLU alone and without squeeze-and-excitation: for accelerators that lack the rest.
"""

from __future__ import annotations

from dataclasses import replace

from mobilenet_tf.models.blocks import (
    KEPT,
    Block,
    Bottleneck,
    Classifier,
    ConvBlock,
    DenseBlock,
    GlobalPool,
    ModelTable,
    Strides,
)

# Alpha leaves the stem as it is, and the head too unless above 1: the reference code's rules.
_LARGE: tuple[Block, ...] = (
    # Operator, exp size, #out, SE, NL, s; output side:   imagenet plan at 224 | cifar plan at 32
    ConvBlock("Conv", 16, Strides(2, 1), activation="hard_swish", scaling="fixed"),  # 112 | 32
    Bottleneck(3, 16, 16, False, "relu", KEPT),  # 112 | 32
    Bottleneck(3, 64, 24, False, "relu", Strides(imagenet=2, cifar=1)),  # 56 | 32
    Bottleneck(3, 72, 24, False, "relu", KEPT),  # 56 | 32
    Bottleneck(5, 72, 40, True, "relu", Strides(imagenet=2, cifar=2)),  # 28 | 16
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
    Bottleneck(3, 72, 24, False, "relu", Strides(imagenet=2, cifar=2)),  # 28 | 16
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


def _simplify(block: Block) -> Block:
    """Return a row as the minimalistic variants have it."""
    if isinstance(block, Bottleneck):
        return replace(block, kernel_px=3, squeeze_excitation=False, activation="relu")
    if isinstance(block, (ConvBlock, DenseBlock)):
        return replace(block, activation="relu")
    return block


MOBILENET_V3_LARGE = ModelTable(
    name="mobilenet_v3_large",
    alias="v3l",
    title="MobileNetV3-Large",
    source="arXiv 1905.02244, table 1",
    activation="hard_swish",
    published_alphas=(0.75, 1.0),
    norm_suffix="BatchNorm",
    block_names=("expanded_conv", "expanded_conv_{}"),
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

_MINIMALISTIC = {
    "squeeze_excitation": "minimalistic means without it; mobilenet_v3_small and"
    " mobilenet_v3_large have it"
}

MOBILENET_V3_LARGE_MINIMALISTIC = replace(
    MOBILENET_V3_LARGE,
    name="mobilenet_v3_large_minimalistic",
    alias="v3lm",
    title="MobileNetV3-Large minimalistic",
    activation="relu",
    published_alphas=(1.0,),
    blocks=tuple(map(_simplify, _LARGE)),
    cannot=_MINIMALISTIC,
)

MOBILENET_V3_SMALL_MINIMALISTIC = replace(
    MOBILENET_V3_SMALL,
    name="mobilenet_v3_small_minimalistic",
    alias="v3sm",
    title="MobileNetV3-Small minimalistic",
    activation="relu",
    published_alphas=(1.0,),
    blocks=tuple(map(_simplify, _SMALL)),
    cannot=_MINIMALISTIC,
)
