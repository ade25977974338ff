"""`mtf models`: parameters, multiply-accumulates and sizes, from the tables alone."""

from __future__ import annotations

from typing import Any

import click

from mobilenet_tf.cli.options import echo_json, json_option
from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.blocks import SMALL_SIDE_PX
from mobilenet_tf.recipe import STRIDE_PLANS


@click.command(short_help="Show parameters, MACs and sizes of the models.")
@click.option("--model", help="Only this model.  [default: all]")
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
    type=int,
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
    as_json: bool,
) -> None:
    """Show what there is: parameters, multiply-accumulates (MACs) and sizes of the models.

    Sizes are those of the weights once batch normalisation is folded into them, in float32 and
    in int8 with int32 biases. A .tflite file adds 10 to 30 KB, an int8 one up to 16 bytes a channel
    more for its scales.

    \b
    Example:
      mtf models
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
            echo_json([row])
        else:
            click.echo(_format_layers(row))
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
        echo_json([{key: row[key] for key in row if key != "layers"} for row in rows])
    else:
        click.echo(_format(rows))
    for reason in refused:
        click.echo(f"left out: {reason}", err=True)


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


def _format(rows: list[dict[str, Any]]) -> str:
    from mobilenet_tf.report.tables import Column, format_table

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
        "Options in the int8 file; what they cost is measured in docs/quantization.md:",
        *(f"  {option}: {note}" for option, note in INT8_NOTES.items()),
    ]


def _format_layers(row: dict[str, Any]) -> str:
    from mobilenet_tf.report.tables import Column, format_table

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
