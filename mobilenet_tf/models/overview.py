"""Variants as plain values, from the tables alone: what there is to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.blocks import SMALL_SIDE_PX
from mobilenet_tf.models.catalog import model_names, model_table
from mobilenet_tf.models.cost import count_variant_costs
from mobilenet_tf.models.options import INT8_NOTES, Options
from mobilenet_tf.models.variant import make_variant

RESOLUTIONS_PX = (32, 224)  # CIFAR's and the papers'


def list_variants(
    model: str | None,
    *,
    alphas: Sequence[float],
    resolutions_px: Sequence[int],
    classes: int,
    stride_plan: str | None,
    block_count: int,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return one row per variant, and the reasons of models that refuse the request.

    Defaults: all models, the published alphas, 32 and 224 pixels, the stride plan for that size.

    Raises:
        UsageError: the one model asked for, or every model, refuses.
    """
    names = model_names() if model is None else (model_table(model).name,)
    asked = [
        (name, alpha, side_px)
        for name in names
        for side_px in resolutions_px or RESOLUTIONS_PX
        for alpha in alphas or sorted(model_table(name).published_alphas, reverse=True)
    ]
    rows, refused = [], {}
    for name, alpha, side_px in asked:
        try:
            row = describe_variant(
                name,
                alpha=alpha,
                resolution_px=side_px,
                classes=classes,
                stride_plan=stride_plan,
                block_count=block_count,
            )
        except UsageError as error:
            refused[str(error)] = error
        else:
            rows.append(row)
    if refused and (model is not None or not rows):
        raise next(iter(refused.values()))
    return rows, list(refused)


def describe_variant(
    name: str,
    *,
    alpha: float,
    resolution_px: int,
    classes: int,
    stride_plan: str | None,
    block_count: int,
) -> dict[str, Any]:
    """Return a variant's row, and under "layers" what each of its layers costs.

    Raises:
        UsageError: a size or option that the model refuses.
    """
    variant = make_variant(
        name,
        alpha=alpha,
        resolution_px=resolution_px,
        classes=classes,
        stride_plan=stride_plan or ("cifar" if resolution_px < SMALL_SIDE_PX else "imagenet"),
        options=Options(block_count=block_count),
    )
    cost, table = count_variant_costs(variant), variant.table
    layers = [
        {
            "name": layer.name,
            "output_shape": list(layer.output_shape),
            "parameters": layer.parameters,
            "macs": layer.macs,
            "int8_bytes": layer.int8_bytes,
        }
        for layer in cost.layers
    ]
    return {
        "name": variant.name,
        "model": table.name,
        "source": table.source,
        "activation": table.activation,
        "cannot": sorted(table.cannot),
        "int8_notes": {k: v for k, v in INT8_NOTES.items() if k not in table.cannot},
        "alpha": variant.alpha,
        "resolution_px": variant.height_px,
        "stride_plan": variant.stride_plan,
        "classes": variant.classes,
        "parameters": cost.parameters,
        "trainable_parameters": cost.trainable_parameters,
        "macs": cost.macs,
        "float32_bytes": cost.float32_bytes,
        "int8_bytes": cost.int8_bytes,
        "layers": layers,
    }
