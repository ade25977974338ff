"""A whole run as its readers take it: the report, a page of the zoo, JSON."""

from __future__ import annotations

from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.history import Epoch
from mobilenet_tf.runs.results import Record, Stages


class RunRecord(Record, frozen=True, kw_only=True):
    """What is known of a run: its recipe, its finished stages, and its epochs."""

    name: str
    recipe: Recipe
    stages: Stages
    command: str | None = None
    train_history: tuple[Epoch, ...] = ()
    qat_history: tuple[Epoch, ...] = ()
