"""Where float training starts: at random, or from weights trained before (fine-tuning)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mobilenet_tf.artifacts import recipe_variant
from mobilenet_tf.models.weights import load_features
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.workdir import hash_file
from mobilenet_tf.zoo import check_file, find_weights, load_card, model_names


def load_start(model: Any, recipe: Recipe) -> dict[str, Any]:
    """Read the weights that a recipe starts from into its model; return where they are from.

    The classifier comes along where the classes are the same, and starts at random elsewhere.
    Without such weights nothing is done, and {} returned.

    Raises:
        UsageError: the zoo has no such weights.
        MtfError: the file is missing, damaged, not what its card says, or of another network.
    """
    if not recipe.train.weights:
        return {}
    file = find_start(recipe)
    fresh = load_features(model, file, dataset=recipe.data.name)
    return {
        "weights": recipe.train.weights,
        "weights_sha256": hash_file(file),
        "weights_at_random": list(fresh),
    }


def find_start(recipe: Recipe) -> Path:
    """Return the file that `train.weights` means: a path has a suffix, a name of the zoo has none.

    A model's name takes its weights at any resolution, a dataset's those of this very network.
    """
    wanted = recipe.train.weights
    if Path(wanted).suffix:
        return Path(wanted)
    if wanted in model_names():
        card = load_card(wanted)
        return check_file(card, card.weights)
    variant = recipe_variant(recipe)
    return find_weights(wanted, variant=variant.name, stride_plan=variant.stride_plan)[1]
