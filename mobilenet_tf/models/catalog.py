"""Every model there is, by name; no TensorFlow, so that `mtf models` answers at once."""

from __future__ import annotations

from mobilenet_tf.errors import UsageError, suggest
from mobilenet_tf.models.alexnet import ALEXNET
from mobilenet_tf.models.blocks import ModelTable
from mobilenet_tf.models.mobilenet_v1 import MOBILENET_V1
from mobilenet_tf.models.mobilenet_v2 import MOBILENET_V2
from mobilenet_tf.models.mobilenet_v3 import (
    MOBILENET_V3_LARGE,
    MOBILENET_V3_LARGE_MINIMALISTIC,
    MOBILENET_V3_SMALL,
    MOBILENET_V3_SMALL_MINIMALISTIC,
)
from mobilenet_tf.models.mobilenet_v4 import MOBILENET_V4_CONV_MEDIUM, MOBILENET_V4_CONV_SMALL

MODELS: dict[str, ModelTable] = {
    table.name: table
    for table in (
        MOBILENET_V1,
        MOBILENET_V2,
        MOBILENET_V3_SMALL,
        MOBILENET_V3_LARGE,
        MOBILENET_V3_SMALL_MINIMALISTIC,
        MOBILENET_V3_LARGE_MINIMALISTIC,
        MOBILENET_V4_CONV_SMALL,
        MOBILENET_V4_CONV_MEDIUM,
        ALEXNET,
    )
}


def model_names() -> tuple[str, ...]:
    """Return the models' names, MobileNets in the order of their papers."""
    return tuple(MODELS)


def model_table(name: str) -> ModelTable:
    """Return the table of the model called `name`.

    Raises:
        UsageError: there is no such model; the message names the nearest.
    """
    table = MODELS.get(name)
    if table is None:
        raise UsageError(f"unknown model {name!r}; {suggest(name, MODELS)}")
    return table
