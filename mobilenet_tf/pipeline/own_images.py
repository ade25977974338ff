"""The recipe for images of one's own: from which weights, and with which settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobilenet_tf.data.folder import index_images
from mobilenet_tf.data.partition import check_counts
from mobilenet_tf.data.photographs import choose_recipe
from mobilenet_tf.errors import MtfError
from mobilenet_tf.models.catalog import model_table
from mobilenet_tf.models.published import IMAGENET, provide
from mobilenet_tf.pipeline.origins import SHAPING
from mobilenet_tf.recipe import ModelSettings, Recipe, load_recipe, replace_settings
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.zoo import shelf

log = logging.getLogger(__name__)


def start_recipe(source: Path, given: Mapping[str, Any], run: RunFolder) -> Recipe:
    """Return the recipe for the images of `source`, with the settings that are given.

    Weights that are not given are those that the run began with, so that nothing is looked up
    twice; for a new run those of `find_initial`.

    Raises:
        UsageError: the images are not laid out as a dataset, a class has too few, or a setting
            is wrong.
        MtfError: the run is damaged.
    """
    index, weights = index_images(source), given.get("train.weights")
    check_counts(index, given.get("data.holdout_share", 0.0))
    if weights is None and run.has_recipe():
        held = run.load_recipe()
        weights = held.train.weights if Path(held.data.path) == source.resolve() else None
    if weights is None:
        chosen = {key: value for key, value in given.items() if key.startswith("model.")}
        weights = find_initial(replace_settings(load_recipe("transfer"), chosen).model)
    recipe = choose_recipe(index, transfer=bool(weights) and weights not in shelf.model_names())
    return replace_settings(recipe, {"data.path": str(source), "train.weights": weights, **given})


def find_initial(model: ModelSettings) -> str:
    """Return the `train.weights` that a network begins with: ImageNet's, else the zoo's, else none.

    ImageNet's are downloaded where they are not cached; why they cannot be is a warning.
    """
    try:
        provide(model_table(model.name), model.alpha)
        return IMAGENET
    except MtfError as error:
        log.warning("not from ImageNet weights: %s", error)
    for card in shelf.load_cards():
        theirs = card.recipe.model
        if all(getattr(theirs, name) == getattr(model, name) for name in SHAPING):
            return card.name
    return ""
