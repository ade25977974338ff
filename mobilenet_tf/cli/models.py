"""`mtf models`: which model to take, and what each costs, from the tables alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import click

from mobilenet_tf.cli.options import json_option
from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.blocks import SMALL_SIDE_PX
from mobilenet_tf.recipe import STRIDE_PLANS, ModelSettings
from mobilenet_tf.system import terminal

T = TypeVar("T")
CLASSES_MAX = 100_000
BALANCED_MACS_SHARE = 0.5  # of the most accurate model's: what a balanced one may cost
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
    show_default=True,
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
    from mobilenet_tf.models.catalog import model_table
    from mobilenet_tf.models.overview import describe_variant, list_variants

    shape: dict[str, Any] = {"classes": classes, "stride_plan": stride_plan}
    shape["block_count"] = block_count
    if layers:
        default = ModelSettings()
        row = describe_variant(
            model_table(default.name if model is None else model).name,
            alpha=_only("--alpha", alphas, default.alpha),
            resolution_px=_only("--resolution", resolutions_px, default.resolution_px),
            **shape,
        )
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
    """Return the one value given, or the default, for a table of one variant."""
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
    table = _format_table(
        ("for you", "in mtf zoo", "parameters", "M MACs", "int8 KB", "top-1 %"),
        [
            (
                title,
                name,
                f"{row.parameters:,}",
                _millions(row.macs),
                _kilobytes(row.size_bytes),
                f"{100 * row.top1:.2f}",
            )
            for title, (name, row) in chosen.items()
        ],
    )
    return f"Trained models, their int8 files measured on the CIFAR-10 test images:\n\n{table}\n\n"


def _format_families(rows: list[dict[str, Any]]) -> str:
    """Return a line a model: its published widths, and its sizes at the smallest input."""
    side_px = min(row["resolution_px"] for row in rows)
    cells = []
    for name in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if (row["model"], row["resolution_px"]) == (name, side_px)]
        columns = (("alpha", "{:g}".format), ("macs", _millions), ("int8_bytes", _kilobytes))
        spans = []
        for key, write in columns:
            values = [row[key] for row in own]
            spans.append(" - ".join(dict.fromkeys([write(min(values)), write(max(values))])))
        cells.append((name, *spans))
    head = f"Models, published widths at {side_px} pixels with {rows[0]['classes']} classes:"
    return f"{head}\n\n{_format_table(('model', 'alpha', 'M MACs', 'int8 KB'), cells)}"


def _format_variants(rows: list[dict[str, Any]]) -> str:
    from mobilenet_tf.models.options import INT8_NOTES

    lines = []
    for row in {row["model"]: row for row in rows}.values():
        lines.append(f"{row['model']} ({row['source']})")
        if row["cannot"]:
            lines.append(f"  does not take {', '.join(row['cannot'])}")
    titles = ("variant", "alpha", "px", "strides", "parameters", "M MACs", "float32 KB", "int8 KB")
    cells = [
        (
            row["name"],
            f"{row['alpha']:g}",
            str(row["resolution_px"]),
            row["stride_plan"],
            f"{row['parameters']:,}",
            _millions(row["macs"]),
            _kilobytes(row["float32_bytes"]),
            _kilobytes(row["int8_bytes"]),
        )
        for row in rows
    ]
    lines += ["", _format_table(titles, cells), ""]
    lines += [f"{rows[0]['classes']} classes; 1 KB is 1,000 bytes of weights.", ""]
    lines.append("Options in the int8 file (measured in docs/notebook/models.md):")
    lines += [f"  {option}: {note}" for option, note in INT8_NOTES.items()]
    return "\n".join(lines)


def _format_layers(row: dict[str, Any]) -> str:
    cells = [
        (
            layer["name"],
            "x".join(map(str, layer.get("output_shape", ()))),
            f"{layer['parameters']:,}",
            _millions(layer["macs"]),
            _kilobytes(layer["int8_bytes"]),
        )
        for layer in (*row["layers"], {**row, "name": "total"})
    ]
    table = _format_table(("layer", "output", "parameters", "M MACs", "int8 KB"), cells)
    return (
        f"{row['name']}: {row['model']} ({row['source']}), alpha {row['alpha']:g},"
        f" {row['resolution_px']} pixels, {row['stride_plan']} strides,"
        f" {row['classes']} classes\n\n{table}"
    )


def _format_table(titles: Sequence[str], cells: Sequence[tuple[str, ...]]) -> str:
    from mobilenet_tf.report import Column, format_table

    names = ("for you", "in mtf zoo", "model", "variant", "strides", "layer")
    columns = [Column(title, align="left" if title in names else "right") for title in titles]
    return format_table(columns, cells)


def _millions(macs: int) -> str:
    return f"{macs / 1e6:,.2f}"


def _kilobytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e3:,.1f}"
