"""What changes in the course of training, as pure functions of how far it is."""

from __future__ import annotations

import math

from mobilenet_tf.recipe import FitSettings, TrainSettings


def learning_rate_at(step: int, settings: FitSettings, steps_per_epoch: int) -> float:
    """Return the learning rate of one step, counted from 0.

    Every schedule rises linearly over the first `warmup_share` of the steps. Then `one_cycle`
    falls linearly to `final_learning_rate` (Smith 2018, arXiv 1803.09820), `cosine` along half a
    cosine (Loshchilov 2017, arXiv 1608.03983), and `step` is multiplied by `step_factor` every
    `step_epochs`.
    """
    total = settings.epochs * steps_per_epoch
    warmup = settings.warmup_share * total
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    if settings.schedule == "step":
        drops = step // steps_per_epoch // settings.step_epochs
        return settings.learning_rate * settings.step_factor**drops
    passed = (step - warmup) / max(total - warmup, 1)
    left = 1 - passed
    if settings.schedule == "cosine":
        left = (1 + math.cos(math.pi * passed)) / 2
    final = settings.final_learning_rate
    return final + (settings.learning_rate - final) * left


def resolution_at(
    sides: tuple[int, ...], full_px: int, settings: TrainSettings, share_done: float
) -> int:
    """Return the side of the images of an epoch that begins at `share_done`, in [0, 1).

    The growing `sides` take equal parts of the first `progressive_share`; what follows,
    at least the last epoch, is at `full_px` (progressive resizing: Howard 2018, fast.ai's entry to
    DAWNBench; Tan and Le 2021, arXiv 2104.00298, section 4).
    """
    end = min(settings.progressive_share, (settings.epochs - 1) / settings.epochs)
    if not sides or share_done >= end:
        return full_px
    part = share_done / end * len(sides)
    return sides[min(int(part + 1e-9), len(sides) - 1)]  # 0.3 / 0.6 * 2 may come out below 1
