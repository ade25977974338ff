"""The weights that float training starts from: found and identified, without TensorFlow."""

from __future__ import annotations

from pathlib import Path

from mobilenet_tf.errors import UsageError
from mobilenet_tf.files import hash_file
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.names import recipe_variant
from mobilenet_tf.zoo.shelf import find_weights

SHAPING = ("name", "alpha", "head_units", "block_count")  # of the weights


def find_start(recipe: Recipe) -> Path:
    """Return the file that `train.weights`, which is not empty, means; see `zoo.find_weights`.

    Raises:
        UsageError: the zoo has no such weights, or they are of another network.
        MtfError: the zoo's file is not what its card says.
    """
    variant = recipe_variant(recipe)
    card, file = find_weights(
        recipe.train.weights, variant=variant.name, stride_plan=variant.stride_plan
    )
    origin = card.recipe if card else recipe
    for name in SHAPING:
        ours, theirs = getattr(recipe.model, name), getattr(origin.model, name)
        if theirs != ours:
            raise UsageError(
                f"train.weights {recipe.train.weights} are of another network: they have"
                f" model.{name} {theirs}, and this run has {ours}; give the same, or other weights"
            )
    return file


def start_digest(file: Path) -> str:
    """Return what identifies the weights to start from: the SHA-256 of their file.

    Raises:
        UsageError: there is no such file, or it cannot be read.
    """
    try:
        return hash_file(file)
    except OSError as error:
        raise UsageError(
            f"train.weights {file}: {error.strerror}; give a .safetensors file, or a name of"
            " mtf zoo"
        ) from error
