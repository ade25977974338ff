"""The plan of a run: everything that its recipe means, resolved and checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mobilenet_tf.data.catalog import DatasetInfo, recipe_dataset
from mobilenet_tf.data.photographs import settle_source
from mobilenet_tf.data.sources import default_data_dir, find_dataset, refuse_photographs
from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.variant import Variant
from mobilenet_tf.pipeline.checks import check_machine, check_recipe
from mobilenet_tf.pipeline.origins import Origin, find_origins
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.names import recipe_variant


@dataclass(frozen=True)
class Rerun:
    """What a command may do with what is already there."""

    resume: bool = False  # continue an unfinished stage
    overwrite: bool = False  # make a finished one again
    allow_changes: bool = False  # continue although settings differ


@dataclass(frozen=True)
class Plan:
    """A run, its recipe, and what that means: the variant, the dataset, and where training starts.

    `data_dir` is the folder of prepared datasets, None for the default one. `origins` are what
    float training comes from, by their names among the inputs of a train stage.
    """

    run: RunFolder
    recipe: Recipe
    variant: Variant
    dataset: DatasetInfo
    data_dir: Path | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def check_training(self) -> None:
        """Refuse float training that could not start here: its data, origins, or bfloat16."""
        if self.dataset.source == "folder":
            refuse_photographs(self.data_dir or default_data_dir())
        else:
            find_dataset(self.dataset.name, self.data_dir)
        check_machine(self.recipe)
        for origin in self.origins.values():
            if origin.error is not None:
                raise origin.error


def make_plan(run: RunFolder, recipe: Recipe, *, data_dir: Path | None = None) -> Plan:
    """Return the plan of a run with `recipe`; nothing is written, and no image is decoded.

    Raises:
        UsageError: the recipe contradicts itself, an untrained run cannot be trained, or the run
            would lie among its images.
        MtfError: the teacher, or what an unfinished training left, is damaged.
    """
    recipe = settle_source(recipe, data_dir)
    _refuse_inside(run, recipe.data.path)
    dataset = recipe_dataset(recipe)
    variant = recipe_variant(recipe)
    check_recipe(recipe, variant, dataset)
    origins = find_origins(run, recipe, variant)
    plan = Plan(run, recipe, variant, dataset, data_dir, origins)
    if not run.is_finished("train"):
        plan.check_training()
    return plan


def _refuse_inside(run: RunFolder, images: str) -> None:
    """Refuse (UsageError) a new run in its images' folder, where it would pass for a class."""
    source = Path(images)
    inside = images and source.is_dir() and source in run.path.resolve().parents
    if inside and not run.has_recipe():
        raise UsageError(
            f"the run {run.path} would lie among its images, in {source}; give --out a folder"
            " elsewhere, or call this from the folder above"
        )
