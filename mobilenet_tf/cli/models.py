"""`mtf models`: which model to take, and what each costs, from the tables alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import click

from mobilenet_tf.cli.options import json_option
from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.blocks import SMALL_SIDE_PX
from mobilenet_tf.models.variant import CLASSES_MAX, make_variant
from mobilenet_tf.recipe import STRIDE_PLANS, ModelSettings, Options
from mobilenet_tf.report.tables import text_table
from mobilenet_tf.system import terminal

T = TypeVar("T")
Row = dict[str, Any]  # of models.overview
BALANCED_MACS_SHARE = 0.5  # of the most accurate model's: what a balanced one may cost
COSTS = {"parameters": ",", "M MACs": ",.2f"}
HINT = (
    "mtf models --model NAME shows the variants of one model, --all those of every model,\n"
    "--layers one variant layer by layer; mtf zoo lists the trained models."
)


@click.command(short_help="Recommend a model; show parameters, MACs and sizes.")
@click.option("--model", help="The variants of this model.")
@click.option(
    "--alpha",
    "alphas",
    type=float,
    multiple=True,
    help="Width multiplier, in (0, 1.5]; can be repeated.  [default: the published ones]",
)
@click.option(
    "--resolution",
    "resolutions_px",
    type=int,
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
    type=int,
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

    shape: dict[str, Any] = {"classes": classes, "stride_plan": stride_plan}
    shape["options"] = Options(block_count=block_count)
    if layers:
        default = ModelSettings()
        variant = make_variant(
            default.name if model is None else model,
            alpha=_only("--alpha", alphas, default.alpha),
            resolution_px=_only("--resolution", resolutions_px, default.resolution_px),
            **shape,
        )
        row = describe_variant(variant)
        if as_json:
            terminal.echo_json([row])
        else:
            terminal.echo(_format_layers(row))
        return
    rows, refused = list_variants(model, alphas=alphas, resolutions_px=resolutions_px, **shape)
    if as_json:
        terminal.echo_json([{key: row[key] for key in row if key != "layers"} for row in rows])
    elif everything or model or alphas or resolutions_px or stride_plan or block_count:
        terminal.echo(_format_variants(rows))
    else:
        terminal.echo(f"{_recommend()}{_format_families(rows)}\n\n{HINT}")
    for reason in refused:
        terminal.echo(f"left out: {reason}", err=True)


def _only(option: str, values: Sequence[T], default: T) -> T:
    if len(values) > 1:
        listed = ", ".join(map(str, values))
        raise UsageError(f"--layers shows one variant; give one {option}, not {listed}")
    return values[0] if values else default


def _recommend() -> str:
    """Return the recommended models, with what their int8 files scored on CIFAR-10."""
    from mobilenet_tf.zoo.shelf import load_cards

    measured = [(card.name, card.int8_row) for card in load_cards() if card.dataset == "cifar10"]
    if not measured:
        return ""
    best = max(measured, key=lambda pair: pair[1].top1)
    affordable = [pair for pair in measured if pair[1].macs <= BALANCED_MACS_SHARE * best[1].macs]
    chosen = {
        "smallest": min(measured, key=lambda pair: pair[1].size_bytes),
        "balanced": max(affordable or measured, key=lambda pair: pair[1].top1),
        "most accurate": best,
    }
    titles = {"for you": "", "in mtf zoo": "", **COSTS, "int8 KB": ",.1f", "top-1 %": ".2f"}
    rows = [
        (title, name, row.parameters, row.macs / 1e6, row.size_bytes / 1e3, 100 * row.top1)
        for title, (name, row) in chosen.items()
    ]
    head = "Trained models, their int8 files measured on the CIFAR-10 test images:"
    return f"{head}\n\n{text_table(titles, rows)}\n\n"


def _format_families(rows: list[Row]) -> str:
    """Return a line a model: its published widths, and its sizes at the smallest input."""
    side_px = min(row["resolution_px"] for row in rows)
    columns = {"alpha": ("alpha", 1, "g"), "M MACs": ("macs", 1e-6, ",.2f")}
    columns["int8 KB"] = ("int8_bytes", 1e-3, ",.1f")
    spans = []
    for name in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if (row["model"], row["resolution_px"]) == (name, side_px)]
        line = [name]
        for key, factor, spec in columns.values():
            values = sorted(factor * row[key] for row in own)
            ends = dict.fromkeys(format(end, spec) for end in (values[0], values[-1]))
            line.append(" - ".join(ends))
        spans.append(line)
    head = f"Models, published widths at {side_px} pixels with {rows[0]['classes']} classes:"
    return f"{head}\n\n{text_table({'model': '', **dict.fromkeys(columns, '>')}, spans)}"


def _format_variants(rows: list[Row]) -> str:
    from mobilenet_tf.models.overview import INT8_NOTES

    lines = []
    for row in {row["model"]: row for row in rows}.values():
        lines.append(f"{row['model']} ({row['source']})")
        if row["cannot"]:
            lines.append(f"  does not take {', '.join(row['cannot'])}")
    titles = {"variant": "", "alpha": "g", "px": "d", "strides": "", **COSTS}
    titles |= {"float32 KB": ",.1f", "int8 KB": ",.1f"}
    cells = [
        (
            *(row[key] for key in ("name", "alpha", "resolution_px", "stride_plan", "parameters")),
            *(row["macs"] / 1e6, row["float32_bytes"] / 1e3, row["int8_bytes"] / 1e3),
        )
        for row in rows
    ]
    return "\n".join(
        [
            *lines,
            "",
            text_table(titles, cells),
            "",
            f"{rows[0]['classes']} classes; 1 KB is 1,000 bytes of weights.",
            "",
            "Options in the int8 file (measured in docs/notebook/models.md):",
            *(f"  {option}: {note}" for option, note in INT8_NOTES.items()),
        ]
    )


def _format_layers(row: Row) -> str:
    cells = [
        (
            layer["name"],
            "x".join(map(str, layer.get("output_shape", ()))),
            *(layer["parameters"], layer["macs"] / 1e6, layer["int8_bytes"] / 1e3),
        )
        for layer in (*row["layers"], {**row, "name": "total"})
    ]
    return (
        f"{row['name']}: {row['model']} ({row['source']}), alpha {row['alpha']:g},"
        f" {row['resolution_px']} pixels, {row['stride_plan']} strides,"
        f" {row['classes']} classes\n\n"
        + text_table({"layer": "", "output": ">", **COSTS, "int8 KB": ",.1f"}, cells)
    )
