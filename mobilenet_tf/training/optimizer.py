"""Optimizers, and which variables they decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mobilenet_tf.keras import keras, tf
from mobilenet_tf.recipe import FitSettings

KERNELS = ("kernel",)
SPARED = ("depthwise_kernel", "gamma", "beta", "bias")


def build_optimizer(settings: FitSettings, variables: Sequence[Any]) -> Any:
    """Return an optimizer with its slots for `variables`; decay is the training step's.

    `jit_compile` stays off: on CPUs XLA makes these networks many times slower.
    """
    rate, momentum = settings.learning_rate, settings.momentum
    common = {"global_clipnorm": settings.clip_norm or None, "jit_compile": False}
    if settings.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum, nesterov=momentum > 0, **common)
    else:  # AdamW is Adam with decoupled decay
        optimizer = keras.optimizers.Adam(rate, **common)
    optimizer.build(variables)
    return optimizer


def select_decayed(variables: Sequence[Any], *, everything: bool = False) -> list[Any]:
    """Return the variables that weight decay shrinks: kernels, but not depthwise ones.

    A depthwise kernel has nine weights a channel and needs them (Howard 2017, arXiv 1704.04861,
    section 3.2). With `everything` those, batch norm's scales and shifts and the biases are decayed
    too; ranges of quantization never are.
    """
    decayed = (*KERNELS, *SPARED) if everything else KERNELS
    return [v for v in variables if v.name.rsplit("/", 1)[-1].removesuffix(":0") in decayed]


def scale_rates(variables: Sequence[Any], layer_decay: float) -> list[float]:
    """Return the factor of each variable's learning rate: 1 for the last layer with a kernel.

    Each such layer before it has `layer_decay` of the next one's; what follows a kernel without
    one of its own, as batch normalization, has that kernel's (Howard 2018, arXiv 1801.06146,
    section 3.2, "discriminative fine-tuning").
    """
    depths, depth = [], 0
    for variable in variables:
        depth += variable.name.removesuffix(":0").endswith("kernel")
        depths.append(depth)
    return [layer_decay ** (depth - own) for own in depths]


def weigh_classes(labels: Any, class_count: int, balance: float) -> Any:
    """Return a weight for each class, float32 (C,), n ** -`balance` for n images of it.

    The mean weight of an image is 1. None where all are equal.
    """
    if not balance:
        return None
    counts = np.bincount(labels, minlength=class_count)
    weights = np.maximum(counts, 1.0) ** -balance
    return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)


def decay(variables: Sequence[Any], amount: Any) -> None:
    """Shrink variables by `amount` of themselves (Loshchilov 2019, arXiv 1711.05101)."""
    for variable in variables:
        variable.assign_sub(variable * tf.cast(amount, variable.dtype))
