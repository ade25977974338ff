"""Block kinds: the vocabulary in which a paper's table is written down; no TensorFlow.

A model is a tuple of these rows. A new kind of row needs one function in `cost.py` and one in
`keras_builder.py`, registered there by its class; nothing else changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

StridePlan = Literal["cifar", "imagenet"]
STRIDE_PLANS: tuple[StridePlan, ...] = get_args(StridePlan)
SMALL_SIDE_PX = 96  # below three of the imagenet plan's 32-pixel strides, little is left to pool


@dataclass(frozen=True)
class Strides:
    """The stride of one row under each plan.

    `imagenet` is the paper's column, made for inputs of 128 to 224 pixels. `cifar` keeps the full
    resolution in the stem and the first rows, for inputs around 32 pixels.
    """

    imagenet: int
    cifar: int

    def under(self, plan: StridePlan) -> int:
        """Return this row's stride under `plan`."""
        return self.imagenet if plan == "imagenet" else self.cifar


@dataclass(frozen=True)
class ConvBlock:
    """Full convolution, batch normalization, ReLU6; layers `name`, `name`_bn, `name`_relu."""

    name: str
    filters: int  # at alpha 1
    strides: Strides
    kernel_px: int = 3


@dataclass(frozen=True)
class DepthwiseSeparableBlock:
    """3x3 depthwise then 1x1 pointwise convolution, each with batch normalization and ReLU6.

    Layers conv_dw_`index` and conv_pw_`index`, as tf_keras.applications numbers them. The stride
    is the depthwise convolution's. arXiv 1704.04861, figure 3, right.
    """

    index: int
    filters: int  # of the pointwise convolution, at alpha 1
    strides: Strides
    kernel_px: int = 3


@dataclass(frozen=True)
class PooledClassifier:
    """Global average pooling, dropout, and a fully connected layer written as a 1x1 convolution.

    The convolution (layer `name`) has the same numbers as a dense layer, and int8 training and
    export give its kernel one scale a class, which a dense layer would not get.
    """

    name: str


Block = ConvBlock | DepthwiseSeparableBlock | PooledClassifier


@dataclass(frozen=True)
class ModelTable:
    """One architecture: its rows in the paper's order, and what the paper published."""

    name: str
    alias: str  # in artifact names: v1_050_r32
    title: str
    source: str
    blocks: tuple[Block, ...]
    published_alphas: tuple[float, ...]
    published_resolutions_px: tuple[int, ...]

    def total_stride(self, plan: StridePlan) -> int:
        """Return by how much `plan` divides the input's side before pooling."""
        total = 1
        for block in self.blocks:
            if not isinstance(block, PooledClassifier):
                total *= block.strides.under(plan)
        return total
