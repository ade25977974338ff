"""AlexNet (Krizhevsky et al. 2012, "ImageNet classification with deep convolutional networks").

The yardstick: what a network costs that was not made for phones. Section 3.5 adapted: one tower,
no groups; batch normalization in place of local response normalization, which no int8 kernel has
and which does not fold; "same" padding, which leaves 7x7 instead of 6x6 before the first dense
layer; and for small images a 5x5 kernel instead of the 11x11 one.
"""

from __future__ import annotations

from mobilenet_tf.models.blocks import (
    KEPT,
    Classifier,
    ConvBlock,
    DenseBlock,
    MaxPool,
    ModelTable,
    Strides,
)

_HALVED = Strides(imagenet=2, cifar=2)

ALEXNET = ModelTable(
    name="alexnet",
    alias="alex",
    title="AlexNet",
    source="Krizhevsky 2012, section 3.5",
    activation="relu",
    published_alphas=(1.0,),
    dropout=0.5,
    cannot={
        "squeeze_excitation": "it has no bottleneck to squeeze; MobileNetV2, V3 and V4 take it",
        "stochastic_depth": "it has no residual connection that could stand in for a block;"
        " MobileNetV2, V3 and V4 take it",
        "head_units": "it has two hidden dense layers of its own, fc6 and fc7",
        "block_count": "it is stem and head only, with no row of blocks between them",
    },
    blocks=(
        # Output side:                                     imagenet plan at 224 | cifar plan at 32
        ConvBlock("conv1", 96, Strides(4, 2), kernel_px=Strides(imagenet=11, cifar=5)),  # 56 | 16
        MaxPool("pool1", _HALVED),  # 28 | 8
        ConvBlock("conv2", 256, KEPT, kernel_px=5),  # 28 | 8
        MaxPool("pool2", _HALVED),  # 14 | 4
        ConvBlock("conv3", 384, KEPT),  # 14 | 4
        ConvBlock("conv4", 384, KEPT),  # 14 | 4
        ConvBlock("conv5", 256, KEPT),  # 14 | 4
        MaxPool("pool5", _HALVED),  # 7 | 2
        DenseBlock("fc6", 4096),
        DenseBlock("fc7", 4096, dropped=True),
        Classifier("fc8"),
    ),
)
