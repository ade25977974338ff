"""Where float training starts: at random, or from weights trained before (fine-tuning)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from mobilenet_tf.files import write_bytes
from mobilenet_tf.models.weights import load_features
from mobilenet_tf.pipeline.starting_weights import find_start
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.folder import CHECKPOINT_FILE, START_FILE, read_note


class StartNote(msgspec.Struct, frozen=True):
    """What a training at work noted of the weights that it started from."""

    weights_at_random: tuple[str, ...]


def load_start(model: Any, recipe: Recipe, folder: Path) -> tuple[str, ...] | None:
    """Read the weights that a recipe starts from into its model; return what they leave out.

    The classifier comes along where the classes are the same, and starts at random elsewhere.
    Without such weights nothing is done, and None returned. A training that goes on in `folder` has
    weights of its own: the file may be gone by then, and what was noted of it stands.

    Raises:
        UsageError: the zoo has no such weights.
        MtfError: the file is missing, damaged, not what its card says, or of another network.
    """
    if not recipe.train.weights:
        return None
    note = folder / START_FILE
    if note.is_file() and (folder / CHECKPOINT_FILE).is_file():
        return read_note(note, StartNote).weights_at_random
    file = find_start(recipe)
    fresh = load_features(model, file, dataset=recipe.data.name)
    start = StartNote(weights_at_random=fresh)
    write_bytes(note, msgspec.json.format(msgspec.json.encode(start)))
    return fresh
