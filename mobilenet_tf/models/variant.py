"""A variant: one model at one width, resolution, class count and stride plan, checked.

Options change a table without another one being written; what a model cannot take is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from numbers import Integral

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.blocks import SMALL_SIDE_PX, ModelTable
from mobilenet_tf.models.catalog import model_table
from mobilenet_tf.recipe import Options, StridePlan, check_setting

CHANNEL_DIVISOR = 8
CLASSES_MIN, CLASSES_MAX = 2, 100_000
IMAGE_CHANNELS = 3
PAPER = Options()


@dataclass(frozen=True)
class Variant:
    """A checked request for a model; make one with `make_variant`."""

    table: ModelTable
    alpha: float
    height_px: int
    width_px: int
    classes: int
    stride_plan: StridePlan
    options: Options = PAPER

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        return (self.height_px, self.width_px, IMAGE_CHANNELS)

    @property
    def name(self) -> str:
        """The variant in artifact names: v1_050_r32 (v1_050_r96x128 when not square).

        The plan `late` and options follow: v1_028_r32_late_b8, v4s_120_r32_silu_se_h512.
        """
        sides = dict.fromkeys((self.height_px, self.width_px))  # one if both are equal
        side = "x".join(map(str, sides))
        plan = ("late",) if self.stride_plan == "late" else ()
        parts = (self.table.alias, _alpha_digits(self.alpha), f"r{side}", *plan)
        return "_".join((*parts, *_list_suffixes(self.options)))

    def channels(self, filters: int) -> int:
        """Return how many channels `filters` of the table become at this alpha."""
        return round_channels(filters * self.alpha)


def make_variant(
    name: str,
    *,
    alpha: float,
    resolution_px: int | tuple[int, int],
    classes: int,
    stride_plan: str | None = None,
    options: Options = PAPER,
) -> Variant:
    """Check a request for a model, and return it as a Variant.

    Args:
        name: a name of `catalog.model_names()`.
        alpha: width multiplier, in (0, 1.5].
        resolution_px: side of the square input, or (height, width); 8 to 1024, and at least the
            plan's stride.
        classes: number of outputs, 2 to 100,000.
        stride_plan: "cifar", "late" or "imagenet"; None is the one for the smaller side.
        options: departures from the paper's table.

    Raises:
        UsageError: an argument is out of its range; the message names it and its value.
    """
    table = model_table(name)
    _check_options(table, options)
    if options.block_count:
        table = table.first(options.block_count)
    alpha = _check_alpha(table, alpha)
    sides = resolution_px if isinstance(resolution_px, tuple) else (resolution_px,) * 2
    if len(sides) != 2:
        raise UsageError(f"resolution {resolution_px} is neither one side nor (height, width)")
    sides_px = [int(check_setting("model.resolution_px", side)) for side in sides]
    if stride_plan is None:
        stride_plan = "cifar" if min(sides_px) < SMALL_SIDE_PX else "imagenet"
    plan: StridePlan = check_setting("model.stride_plan", stride_plan)
    if plan == "late" and table.total_stride("late") == table.total_stride("cifar"):
        cut = f" cut after block {options.block_count}" if options.block_count else ""
        raise UsageError(
            f"{table.name}{cut} has no stride that the late stride plan would leave out; use cifar"
        )
    height_px, width_px = (_check_side(table, plan, side) for side in sides_px)
    whole = isinstance(classes, Integral) and not isinstance(classes, bool)
    if not whole or not CLASSES_MIN <= classes <= CLASSES_MAX:
        raise UsageError(
            f"classes is {classes!r}; give a whole number from {CLASSES_MIN} to {CLASSES_MAX:,}"
        )
    return Variant(table, alpha, height_px, width_px, int(classes), plan, options)


def asks_for(options: Options, name: str) -> bool:
    """Tell whether an option asks for something that the table has not."""
    return getattr(options, name) not in (getattr(PAPER, name), "off")


def round_channels(channels: float) -> int:
    """Round to the nearest multiple of 8 (a half upwards), at least 8 and at least 90 %.

    The rule of the MobileNet reference code; at the published alphas of MobileNetV1 it changes
    nothing, since every product is already a multiple of 8.
    """
    nearest = math.floor(channels / CHANNEL_DIVISOR + 0.5) * CHANNEL_DIVISOR
    rounded = max(CHANNEL_DIVISOR, nearest)
    return rounded + CHANNEL_DIVISOR if rounded < 0.9 * channels else rounded


def _check_alpha(table: ModelTable, alpha: float) -> float:
    alpha = float(check_setting("model.alpha", alpha))
    if alpha * table.narrowest < 0.5:
        smallest = math.ceil(50 / table.narrowest) / 100
        raise UsageError(
            f"alpha {alpha:g} leaves no channel of the {table.narrowest} of"
            f" {table.name}'s narrowest layer; use at least {smallest:g}"
        )
    return alpha


def _check_side(table: ModelTable, plan: StridePlan, side_px: int) -> int:
    smallest_px = table.total_stride(plan)
    if side_px < smallest_px:
        fits = plan != "cifar" and side_px >= table.total_stride("cifar")
        raise UsageError(
            f"resolution {side_px} is too small for {table.name} with the {plan} stride plan: "
            f"use at least {smallest_px} pixels{', or the cifar stride plan' if fits else ''}"
        )
    return side_px


def _alpha_digits(alpha: float) -> str:
    """Write 0.5 as 050, 1.0 as 100 and 0.125 as 0125: one digit before the point, so unique."""
    exact = format(Decimal(repr(alpha)), "f")
    whole, _, decimals = exact.partition(".")
    return whole + decimals.ljust(2, "0")


def _list_suffixes(options: Options) -> Iterator[str]:
    """Yield what options add to the name of a variant: those that change its shape or function."""
    if options.activation != "paper":
        yield options.activation.replace("_", "")
    if options.squeeze_excitation != "paper":
        yield "se" if options.squeeze_excitation == "on" else "nose"
    if options.head_units:
        yield f"h{options.head_units}"
    if options.residual:
        yield "res"
    if options.block_count:
        yield f"b{options.block_count}"


def _check_options(table: ModelTable, options: Options) -> None:
    """Refuse what is out of range, and what the model cannot take."""
    for name in Options.__struct_fields__:
        check_setting(f"model.{name}", getattr(options, name))
        if name in table.cannot and asks_for(options, name):
            raise UsageError(f"{table.name} cannot take {name}: {table.cannot[name]}")
    if options.block_count > table.block_count:
        raise UsageError(
            f"model.block_count is {options.block_count}; {table.name} has {table.block_count}"
            " blocks, give at most that"
        )
    if options.head_dropout and not options.head_units:
        raise UsageError(
            f"model.head_dropout is {options.head_dropout:g}, which drops outputs of the hidden"
            " head layer, and model.head_units is 0; give head_units too, or use dropout"
        )
