"""Variants as plain values, from the tables alone: what there is to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.catalog import model_names, model_table
from mobilenet_tf.models.cost import Cost, count_costs
from mobilenet_tf.models.variant import Variant, make_variant

RESOLUTIONS_PX = (32, 224)  # CIFAR's and the papers'
INT8_NOTES = {  # what an option becomes in the int8 file; docs/notebook/models.md has what it costs
    "relu": "fused into the convolution",
    "relu6": "fused into the convolution",
    "silu": "LOGISTIC and MUL: 8 to 18 % slower than relu or relu6",
    "hard_swish": "ADD, MUL and MUL: 7 to 11 % slower (XNNPACK has no HARD_SWISH)",
    "squeeze_excitation": "MEAN, 2 CONV_2D and 2 MUL a block: 20 to 24 % slower",
}


def list_variants(
    model: str | None, *, alphas: Sequence[float], resolutions_px: Sequence[int], **shape: Any
) -> tuple[list[dict[str, Any]], list[str]]:
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


def describe_variant(variant: Variant) -> dict[str, Any]:
    """Return a variant's row, and under "layers" what each of its layers costs.

    Raises:
        UsageError: an option for which the network has no place.
    """
    cost, table = count_costs(variant), variant.table

    def pick(counted: Cost, *names: str) -> dict[str, int]:
        return {name: getattr(counted, name) for name in names}

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
        **pick(cost, "parameters", "trainable_parameters", "macs", "float32_bytes", "int8_bytes"),
        "layers": [
            {"name": layer.name, "output_shape": list(layer.output_shape)}
            | pick(layer, "parameters", "macs", "int8_bytes")
            for layer in cost.layers
        ],
    }
