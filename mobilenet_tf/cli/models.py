"""`mtf models`: parameters, multiply-accumulates and sizes, from the tables alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mobilenet_tf.cli.options import echo_json, json_option
from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.blocks import SMALL_SIDE_PX, STRIDE_PLANS

if TYPE_CHECKING:
    from mobilenet_tf.models.cost import Cost
    from mobilenet_tf.models.variant import Variant

_RESOLUTIONS_PX = (32, 224)  # CIFAR's and the papers'


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
    help="Show one variant layer by layer (alpha 0.5 at 32 pixels unless given).",
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
    from mobilenet_tf.models.catalog import model_table

    names = _with_blocks(block_count) if model is None else (model_table(model).name,)
    if layers:
        variant, cost = _choose_one(
            names, alphas, resolutions_px, classes, stride_plan, block_count=block_count
        )
        rows = [{**_describe(variant, cost), "layers": _describe_layers(cost)}]
    else:
        rows = [
            _describe(*_count(name, alpha, side_px, classes, stride_plan, block_count=block_count))
            for name in names
            for side_px in resolutions_px or _RESOLUTIONS_PX
            for alpha in alphas or sorted(model_table(name).published_alphas, reverse=True)
        ]
    if as_json:
        echo_json(rows)
    elif layers:
        click.echo(_format_layers(rows[0]))
    else:
        click.echo(_format(rows))


def _with_blocks(block_count: int) -> tuple[str, ...]:
    from mobilenet_tf.models.catalog import model_names, model_table

    counts = {name: model_table(name).block_count for name in model_names()}
    names = tuple(name for name, count in counts.items() if count >= block_count)
    if not names:
        raise UsageError(
            f"--block-count {block_count}: no model has more than {max(counts.values())}"
        )
    return names


def _choose_one(
    names: tuple[str, ...],
    alphas: tuple[float, ...],
    resolutions_px: tuple[int, ...],
    classes: int,
    stride_plan: str | None,
    *,
    block_count: int,
) -> tuple[Variant, Cost]:
    """Return the one variant of `--layers`; what is not given is a recipe's default."""
    from mobilenet_tf.recipe import ModelSettings

    for option, values in (("--alpha", alphas), ("--resolution", resolutions_px)):
        if len(values) > 1:
            listed = ", ".join(map(str, values))
            raise UsageError(f"--layers shows one variant; give one {option}, not {listed}")
    default = ModelSettings()
    return _count(
        names[0] if len(names) == 1 else default.name,
        alphas[0] if alphas else default.alpha,
        resolutions_px[0] if resolutions_px else default.resolution_px,
        classes,
        stride_plan,
        block_count=block_count,
    )


def _count(
    name: str,
    alpha: float,
    side_px: int,
    classes: int,
    stride_plan: str | None,
    *,
    block_count: int,
) -> tuple[Variant, Cost]:
    from mobilenet_tf.models.cost import count_variant_costs
    from mobilenet_tf.models.options import Options
    from mobilenet_tf.models.variant import make_variant

    variant = make_variant(
        name,
        alpha=alpha,
        resolution_px=side_px,
        classes=classes,
        stride_plan=stride_plan or ("cifar" if side_px < SMALL_SIDE_PX else "imagenet"),
        options=Options(block_count=block_count),
    )
    return variant, count_variant_costs(variant)


def _describe(variant: Variant, cost: Cost) -> dict[str, Any]:
    from mobilenet_tf.models.options import INT8_NOTES

    return {
        "name": variant.name,
        "model": variant.table.name,
        "source": variant.table.source,
        "activation": variant.table.activation,
        "cannot": sorted(variant.table.cannot),
        "int8_notes": {k: v for k, v in INT8_NOTES.items() if k not in variant.table.cannot},
        "alpha": variant.alpha,
        "resolution_px": variant.height_px,
        "stride_plan": variant.stride_plan,
        "classes": variant.classes,
        "parameters": cost.parameters,
        "trainable_parameters": cost.trainable_parameters,
        "macs": cost.macs,
        "float32_bytes": cost.float32_bytes,
        "int8_bytes": cost.int8_bytes,
    }


def _describe_layers(cost: Cost) -> list[dict[str, Any]]:
    return [
        {
            "name": layer.name,
            "output_shape": list(layer.output_shape),
            "parameters": layer.parameters,
            "macs": layer.macs,
            "int8_bytes": layer.folded_weights + 4 * layer.folded_biases,
        }
        for layer in cost.layers
    ]


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
