"""Variants as plain values, from the tables alone: what there is to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.catalog import model_names, model_table
from mobilenet_tf.models.cost import Shape, count_costs
from mobilenet_tf.models.variant import Variant, make_variant

RESOLUTIONS_PX = (32, 224)  # CIFAR's and the papers'
INT8_NOTES = {  # what an option becomes in the int8 file; docs/notebook/models.md has what it costs
    "relu": "fused into the convolution",
    "relu6": "fused into the convolution",
    "silu": "LOGISTIC and MUL: 8 to 18 % slower than relu or relu6",
    "hard_swish": "ADD, MUL and MUL: 7 to 11 % slower (XNNPACK has no HARD_SWISH)",
    "squeeze_excitation": "MEAN, 2 CONV_2D and 2 MUL a block: 20 to 24 % slower",
}


class LayerRow(msgspec.Struct, frozen=True):
    """What one layer with weights costs."""

    name: str
    output_shape: Shape
    parameters: int
    macs: int
    int8_bytes: int


class VariantRow(msgspec.Struct, frozen=True, kw_only=True):
    """A variant: its network and what it costs; `cannot` are the options that it does not take."""

    name: str
    model: str
    source: str
    activation: str
    cannot: list[str]
    int8_notes: dict[str, str]
    alpha: float
    resolution_px: int
    stride_plan: str
    classes: int
    parameters: int
    trainable_parameters: int
    macs: int
    float32_bytes: int
    int8_bytes: int
    layers: tuple[LayerRow, ...] | msgspec.UnsetType = msgspec.UNSET


def list_variants(
    model: str | None, *, alphas: Sequence[float], resolutions_px: Sequence[int], **shape: Any
) -> tuple[list[VariantRow], list[str]]:
    """Return one row per variant, and the reasons of models that refuse the request.

    `shape` has the other arguments of `make_variant`. Defaults: all models, the published alphas,
    32 and 224 pixels.

    Raises:
        UsageError: the one model asked for, or every model, refuses.
    """
    tables = [model_table(name) for name in (model_names() if model is None else (model,))]
    rows, refused = [], {}
    for table in tables:
        for side_px in resolutions_px or RESOLUTIONS_PX:
            for alpha in alphas or sorted(table.published_alphas, reverse=True):
                try:
                    variant = make_variant(table.name, alpha=alpha, resolution_px=side_px, **shape)
                    rows.append(describe_variant(variant))
                except UsageError as error:
                    refused[str(error)] = error
    if refused and (model is not None or not rows):
        raise next(iter(refused.values()))
    return rows, list(refused)


def describe_variant(variant: Variant, *, layers: bool = False) -> VariantRow:
    """Return a variant's row, with what each of its `layers` costs if asked for.

    Raises:
        UsageError: an option for which the network has no place.
    """
    cost, table = count_costs(variant), variant.table
    return VariantRow(
        name=variant.name,
        model=table.name,
        source=table.source,
        activation=table.activation,
        cannot=sorted(table.cannot),
        int8_notes={k: v for k, v in INT8_NOTES.items() if k not in table.cannot},
        alpha=variant.alpha,
        resolution_px=variant.height_px,
        stride_plan=variant.stride_plan,
        classes=variant.classes,
        parameters=cost.parameters,
        trainable_parameters=cost.trainable_parameters,
        macs=cost.macs,
        float32_bytes=cost.float32_bytes,
        int8_bytes=cost.int8_bytes,
        layers=tuple(
            LayerRow(each.name, each.output_shape, each.parameters, each.macs, each.int8_bytes)
            for each in cost.layers
        )
        if layers
        else msgspec.UNSET,
    )
