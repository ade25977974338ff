"""`mtf models`: which model to take, and what each costs, from the tables alone."""

from __future__ import annotations

from typing import Any

import click

from mobilenet_tf.cli.options import json_option
from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.blocks import SMALL_SIDE_PX
from mobilenet_tf.recipe import STRIDE_PLANS
from mobilenet_tf.system import terminal

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
    from mobilenet_tf.models.overview import describe_variant, list_variants

    if layers:
        name, alpha, side_px = _choose_one(model, alphas, resolutions_px)
        row = describe_variant(
            name,
            alpha=alpha,
            resolution_px=side_px,
            classes=classes,
            stride_plan=stride_plan,
            block_count=block_count,
        )
        if as_json:
            terminal.echo_json([row])
        else:
            terminal.echo(_format_layers(row))
        return
    rows, refused = list_variants(
        model,
        alphas=alphas,
        resolutions_px=resolutions_px,
        classes=classes,
        stride_plan=stride_plan,
        block_count=block_count,
    )
    if as_json:
        terminal.echo_json([{key: row[key] for key in row if key != "layers"} for row in rows])
    elif everything or model or alphas or resolutions_px or stride_plan or block_count:
        terminal.echo(_format(rows))
    else:
        terminal.echo("\n\n".join([*_recommend(), _format_families(rows), HINT]))
    for reason in refused:
        terminal.echo(f"left out: {reason}", err=True)


def _choose_one(
    model: str | None, alphas: tuple[float, ...], resolutions_px: tuple[int, ...]
) -> tuple[str, float, int]:
    """Return model, alpha and side of the one variant of `--layers`: a recipe's unless given."""
    from mobilenet_tf.models.catalog import model_table
    from mobilenet_tf.recipe import ModelSettings

    for option, values in (("--alpha", alphas), ("--resolution", resolutions_px)):
        if len(values) > 1:
            listed = ", ".join(map(str, values))
            raise UsageError(f"--layers shows one variant; give one {option}, not {listed}")
    default = ModelSettings()
    return (
        model_table(default.name if model is None else model).name,
        alphas[0] if alphas else default.alpha,
        resolutions_px[0] if resolutions_px else default.resolution_px,
    )


def _recommend() -> list[str]:
    """Return the recommended models as one text; nothing where none was measured."""
    from mobilenet_tf.report import Column, format_table

    measured = _list_measured("cifar10")
    if not measured:
        return []
    best = max(measured, key=lambda row: row["top1"])
    affordable = [row for row in measured if row["macs"] <= BALANCED_MACS_SHARE * best["macs"]]
    chosen = [
        ("smallest", min(measured, key=lambda row: row["size_bytes"])),
        ("balanced", max(affordable or measured, key=lambda row: row["top1"])),
        ("most accurate", best),
    ]
    cells = [
        (
            title,
            row["name"],
            f"{row['parameters']:,}",
            _millions(row["macs"]),
            _kilobytes(row["size_bytes"]),
            f"{100 * row['top1']:.2f}",
        )
        for title, row in chosen
    ]
    columns = [Column("for you", align="left"), Column("in mtf zoo", align="left")]
    columns += [Column("parameters"), Column("M MACs"), Column("int8 KB"), Column("top-1 %")]
    head = "Trained models, their int8 files measured on the CIFAR-10 test images:"
    return [f"{head}\n\n{format_table(columns, cells)}"]


def _list_measured(dataset: str) -> list[dict[str, Any]]:
    """Return what the int8 file of each model of the zoo trained on `dataset` scores and costs."""
    from mobilenet_tf.zoo.shelf import load_cards

    cards = [card for card in load_cards() if card.dataset == dataset]
    keys = ("parameters", "macs", "size_bytes", "top1")
    return [
        {"name": card.name, **{key: getattr(card.int8_row, key) for key in keys}} for card in cards
    ]


def _format_families(rows: list[dict[str, Any]]) -> str:
    """Return a line a model: its published widths, and its sizes at the smallest input."""
    from mobilenet_tf.report import Column, format_table

    side_px = min(row["resolution_px"] for row in rows)
    cells = []
    for name in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if (row["model"], row["resolution_px"]) == (name, side_px)]
        spans = [
            " - ".join(
                dict.fromkeys(write(function(row[key] for row in own)) for function in (min, max))
            )
            for key, write in (
                ("alpha", "{:g}".format),
                ("macs", _millions),
                ("int8_bytes", _kilobytes),
            )
        ]
        cells.append((name, *spans))
    columns = [Column("model", align="left"), Column("alpha"), Column("M MACs"), Column("int8 KB")]
    head = f"Models, published widths at {side_px} pixels with {rows[0]['classes']} classes:"
    return f"{head}\n\n{format_table(columns, cells)}"


def _format(rows: list[dict[str, Any]]) -> str:
    from mobilenet_tf.report import Column, format_table

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
    columns = [Column("variant", align="left"), Column("alpha"), Column("px")]
    columns += [Column("strides", align="left"), Column("parameters"), Column("M MACs")]
    columns += [Column("float32 KB"), Column("int8 KB")]
    return "\n".join(
        [
            *_list_models(rows),
            "",
            format_table(columns, cells),
            "",
            f"{rows[0]['classes']} classes; 1 KB is 1,000 bytes of weights; --layers shows one"
            " variant",
            "layer by layer.",
            "",
            *_list_notes(),
        ]
    )


def _list_models(rows: list[dict[str, Any]]) -> list[str]:
    """Return a line a model, and what it does not take."""
    lines = []
    for row in {row["model"]: row for row in rows}.values():
        lines.append(f"{row['model']} ({row['source']})")
        if row["cannot"]:
            lines.append(f"  does not take {', '.join(row['cannot'])}")
    return lines


def _list_notes() -> list[str]:
    """Return a line for each option that the int8 file pays for, or does not."""
    from mobilenet_tf.models.options import INT8_NOTES

    return [
        "Options in the int8 file (measured in docs/notebook/models.md):",
        *(f"  {option}: {note}" for option, note in INT8_NOTES.items()),
    ]


def _format_layers(row: dict[str, Any]) -> str:
    from mobilenet_tf.report import Column, format_table

    cells = [
        (
            layer["name"],
            "x".join(map(str, layer["output_shape"])),
            f"{layer['parameters']:,}",
            _millions(layer["macs"]),
            _kilobytes(layer["int8_bytes"]),
        )
        for layer in row["layers"]
    ]
    total = ("total", "", f"{row['parameters']:,}", _millions(row["macs"]))
    cells.append((*total, _kilobytes(row["int8_bytes"])))
    columns = [Column("layer", align="left"), Column("output"), Column("parameters")]
    columns += [Column("M MACs"), Column("int8 KB")]
    head = (
        f"{row['name']}: {row['model']} ({row['source']}), alpha {row['alpha']:g},"
        f" {row['resolution_px']} pixels, {row['stride_plan']} strides, {row['classes']} classes"
    )
    return f"{head}\n\n{format_table(columns, cells)}"


def _millions(macs: int) -> str:
    return f"{macs / 1e6:,.2f}"


def _kilobytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e3:,.1f}"
