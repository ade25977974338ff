"""What the shell completes: names of models, datasets, recipes, the zoo, folders of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_from(room: str, names: str, *, files: bool = False) -> Complete:
    """Return what completes a value from names that a room has, or a function of it lists."""

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        listed = getattr(import_module(f"mobilenet_tf.{room}"), names)
        known: Iterable[str] = listed() if callable(listed) else listed
        found = [CompletionItem(name) for name in known if name.startswith(incomplete)]
        return found or ([CompletionItem(incomplete, type="file")] if files else [])

    return complete


complete_model = complete_from("models.catalog", "model_names")
complete_dataset = complete_from("data.catalog", "DATASETS")
complete_recipe = complete_from("recipe", "recipe_names", files=True)
complete_zoo = complete_from("zoo.shelf", "model_names", files=True)


def complete_run(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the folder of a run: those below artifacts/, and below what has been typed."""
    places = {Path("artifacts"), Path(incomplete).parent, Path(incomplete)}
    runs = sorted({str(file.parent) for place in places for file in place.glob("*/recipe.json")})
    found = [CompletionItem(run) for run in runs if run.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="dir")]
