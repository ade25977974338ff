"""`mtf models`: which model to take, and what each costs, from the tables alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import click

from mobilenet_tf.cli.options import json_option
from mobilenet_tf.cli.settings import SettingType
from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.blocks import SMALL_SIDE_PX
from mobilenet_tf.models.variant import CLASSES_MAX, make_variant
from mobilenet_tf.recipe import STRIDE_PLANS, ModelSettings, Options, all_settings
from mobilenet_tf.system import terminal

T = TypeVar("T")
HINT = (
    "mtf models --model NAME shows the variants of one model, --all those of every model,\n"
    "--layers one variant layer by layer; mtf zoo lists the trained models."
)


@click.command(short_help="Recommend a model; show parameters, MACs and sizes.")
@click.option("--model", help="The variants of this model.")
@click.option(
    "--alpha",
    "alphas",
    type=SettingType(all_settings()["model.alpha"]),
    multiple=True,
    help="Width multiplier, in (0, 1.5]; can be repeated.  [default: the published ones]",
)
@click.option(
    "--resolution",
    "resolutions_px",
    type=SettingType(all_settings()["model.resolution_px"]),
    multiple=True,
    help="Side of the input in pixels; can be repeated.  [default: 32 and 224]",
)
@click.option(
    "--classes",
    type=click.IntRange(2, CLASSES_MAX),
    default=10,
    help="Number of outputs; the papers' counts are for 1000.",
)
@click.option(
    "--stride-plan",
    type=click.Choice(STRIDE_PLANS),
    help="Where the model halves its resolution."
    f"  [default: cifar below {SMALL_SIDE_PX} pixels, else imagenet]",
)
@click.option(
    "--block-count",
    type=SettingType(all_settings()["model.block_count"]),
    default=0,
    show_default=False,
    help="Only the first blocks between stem and head; leaves out models with fewer."
    "  [default: all]",
)
@click.option(
    "--layers",
    is_flag=True,
    help="Show one variant layer by layer (mobilenet_v1, alpha 0.5 at 32 pixels unless given).",
)
@click.option("--all", "everything", is_flag=True, help="Show every variant of every model.")
@json_option
def command(
    *,
    model: str | None,
    alphas: tuple[float, ...],
    resolutions_px: tuple[int, ...],
    classes: int,
    stride_plan: str | None,
    block_count: int,
    layers: bool,
    everything: bool,
    as_json: bool,
) -> None:
    """Recommend a model; show parameters, multiply-accumulates (MACs) and sizes.

    Without options: the smallest, a balanced and the most accurate of the models that were trained
    and measured (mtf zoo), and the families to choose from.

    Sizes are those of the weights once batch normalisation is folded into them, in float32 and
    in int8 with int32 biases. A .tflite file adds 10 to 30 KB, an int8 one up to 16 bytes a channel
    more for its scales.

    \b
    Example:
      mtf models
      mtf models --model mobilenet_v2
      mtf models --alpha 0.35 --alpha 0.5 --resolution 96 --classes 2
      mtf models --layers --alpha 0.25 --resolution 32
      mtf models --model mobilenet_v1 --alpha 0.25 --block-count 9
    """
    from mobilenet_tf.models.overview import describe_variant, list_variants
    from mobilenet_tf.report.variants import format_families, format_layers, format_variants

    shape: dict[str, Any] = {
        "classes": classes,
        "stride_plan": stride_plan,
        "options": Options(block_count=block_count),
    }
    if layers:
        default = ModelSettings()
        variant = make_variant(
            default.name if model is None else model,
            alpha=_only("--alpha", alphas, default.alpha),
            resolution_px=_only("--resolution", resolutions_px, default.resolution_px),
            **shape,
        )
        row = describe_variant(variant, layers=True)
        if as_json:
            terminal.echo_json([row])
        else:
            terminal.echo_block(format_layers(row))
        return
    rows, refused = list_variants(model, alphas=alphas, resolutions_px=resolutions_px, **shape)
    if as_json:
        terminal.echo_json(rows)
    elif everything or model or alphas or resolutions_px or stride_plan or block_count:
        terminal.echo_block(format_variants(rows))
    else:
        terminal.echo_block(f"{_recommend()}{format_families(rows)}\n\n{HINT}")
    for reason in refused:
        terminal.echo(f"left out: {reason}", err=True)


def _only(option: str, values: Sequence[T], default: T) -> T:
    if len(values) > 1:
        listed = ", ".join(map(str, values))
        raise UsageError(f"--layers shows one variant; give one {option}, not {listed}")
    return values[0] if values else default


def _recommend() -> str:
    """Return the recommended models, with what their int8 files scored on CIFAR-10."""
    from mobilenet_tf.report.variants import format_recommended
    from mobilenet_tf.zoo.shelf import load_cards

    measured = {card.name: card.int8_row for card in load_cards() if card.dataset == "cifar10"}
    if not measured:
        return ""
    head = "Trained models, their int8 files measured on the CIFAR-10 test images:"
    return f"{head}\n\n{format_recommended(measured)}\n\n"
