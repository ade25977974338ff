"""How long the rest of a run takes: a rough estimate from the time of one epoch."""

from __future__ import annotations

from collections.abc import Sequence

from mobilenet_tf.recipe import Recipe

QAT_EPOCH_COST = 1.7  # times an epoch of float training, measured on quickstart and CIFAR-10
REST_S = 45.0  # calibration, export and benchmark, whatever the dataset
REST_EPOCHS = 2.0  # the same, as far as it grows with images and network


def estimate_later_s(stage: str, later: Sequence[str], recipe: Recipe, epoch_s: float) -> float:
    """Return about how many seconds the stages after a training stage take; 0 without any.

    `epoch_s` is the time of one epoch of that stage at full resolution.
    """
    if not later:
        return 0.0
    float_s = epoch_s / (QAT_EPOCH_COST if stage == "qat" else 1.0)
    qat_epochs = recipe.qat.epochs if "qat" in later else 0
    return REST_S + float_s * (REST_EPOCHS + QAT_EPOCH_COST * qat_epochs)
