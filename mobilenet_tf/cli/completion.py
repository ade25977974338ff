"""What the shell completes: names of models, datasets, recipes, the zoo, folders of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_from(list_names: Callable[[], Iterable[str]], *, files: bool = False) -> Complete:
    """Return what completes a value from names, and from files too where one can be given."""

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        found = [CompletionItem(name) for name in list_names() if name.startswith(incomplete)]
        return found or ([CompletionItem(incomplete, type="file")] if files else [])

    return complete


def _models() -> Iterable[str]:
    from mobilenet_tf.models.catalog import model_names

    return model_names()


def _datasets() -> Iterable[str]:
    from mobilenet_tf.data.catalog import DATASETS

    return DATASETS


def _recipes() -> Iterable[str]:
    from mobilenet_tf.recipe import recipe_names

    return recipe_names()


def _zoo() -> Iterable[str]:
    from mobilenet_tf.zoo.shelf import model_names

    return model_names()


complete_model = complete_from(_models)
complete_dataset = complete_from(_datasets)
complete_recipe = complete_from(_recipes, files=True)
complete_zoo = complete_from(_zoo, files=True)


def complete_run(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the folder of a run: those below artifacts/, and below what has been typed."""
    places = {Path("artifacts"), Path(incomplete).parent, Path(incomplete)}
    runs = sorted({str(file.parent) for place in places for file in place.glob("*/recipe.json")})
    found = [CompletionItem(run) for run in runs if run.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="dir")]
