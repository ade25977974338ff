"""Progressive resizing: the sides of the images while they grow."""

from __future__ import annotations

import itertools
import math

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.blocks import GlobalPool
from mobilenet_tf.models.variant import Variant
from mobilenet_tf.recipe import Recipe

AUTO_SHARES = (0.5, 0.75)  # of the full side


def progressive_sides(recipe: Recipe, variant: Variant) -> tuple[int, ...]:
    """Return the sides in pixels, all below the full one, that training grows through.

    Sides, the full one too, are multiples of the network's total stride: where a stride meets an
    odd side, `same` padding moves the features by half a pixel, and the last epochs would have to
    unlearn it. "auto" takes `AUTO_SHARES` of the full side, rounded up to such multiples, and
    none for a network that they do not fit.

    Raises:
        UsageError: a side that was asked for, or the full one, does not fit.
    """
    sides, full_px = recipe.train.progressive_px, recipe.model.resolution_px
    if not sides:
        return ()
    table, stride = variant.table, variant.table.total_stride(variant.stride_plan)
    takes_any = any(isinstance(block, GlobalPool) for block in table.blocks)
    if sides == "auto":
        wanted = (math.ceil(share * full_px / stride) * stride for share in AUTO_SHARES)
        fits = takes_any and full_px % stride == 0
        return tuple(sorted({side for side in wanted if side < full_px})) if fits else ()
    given = f"train.progressive_px {list(sides)}"
    if not takes_any:
        raise UsageError(f"{given}: {table.name} takes one resolution only; leave it empty")
    if full_px % stride:
        raise UsageError(
            f"{given}: model.resolution_px {full_px} is not a multiple of {table.name}'s total"
            f" stride {stride}; choose {max(1, round(full_px / stride)) * stride} px, or leave it"
            " empty"
        )
    allowed = list(range(stride, full_px, stride))
    wrong = [side for side in sides if side not in allowed]
    if wrong:
        raise UsageError(
            f"{given}: {wrong[0]} is not a multiple of {table.name}'s total stride {stride} below"
            f" model.resolution_px {full_px}; "
            + (f"choose from {', '.join(map(str, allowed))}" if allowed else "leave it empty")
        )
    if any(after <= before for before, after in itertools.pairwise(sides)):
        raise UsageError(f"{given} does not grow; give each side once, the smallest first")
    return tuple(sides)
