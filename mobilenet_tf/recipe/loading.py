"""Recipes from files and from the command line."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mobilenet_tf.errors import UsageError, suggest
from mobilenet_tf.recipe.sections import Recipe
from mobilenet_tf.recipe.settings import check_setting, replace_settings, show

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST_BYTES = 1_000_000
SWEEP = "sweep"  # the table of a recipe that `mtf sweep` alone reads


def pipelines_folder() -> Path:
    """Return the folder of the recipes that ship: inside the wheel, or beside the package."""
    package = Path(__file__).parents[1]
    installed = package / "pipelines"
    return installed if installed.is_dir() else package.parent / "pipelines"


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship, sorted."""
    return sorted(path.stem for path in pipelines_folder().glob("*.toml"))


def load_recipe(name_or_path: str, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe by the name of one that ships or by its file, and apply `section.key=value`s.

    Raises:
        UsageError: no such recipe, a folder, not TOML, an unknown key, a value out of its range.
    """
    content = _read(find_recipe(name_or_path))
    content.pop(SWEEP, None)  # what `mtf sweep` varies; `load_axes` reads it
    recipe = parse_recipe(content, origin=f"recipe {name_or_path}")
    return replace_settings(recipe, parse_overrides(overrides))


def load_axes(name_or_path: str) -> dict[str, Any]:
    """Return the `[sweep]` table of a recipe, unchecked: settings and what stands for each.

    A setting is written `"model.alpha"`, `model.alpha` or in a table `[sweep.model]`.

    Raises:
        as `load_recipe`, and UsageError where `sweep` is no table.
    """
    table = _read(find_recipe(name_or_path)).get(SWEEP, {})
    if not isinstance(table, dict):
        raise UsageError(f"recipe {name_or_path}: sweep is {show(table)}; write a table, [{SWEEP}]")
    return _flatten(table)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            read = file.read(LARGEST_BYTES + 1)
        if len(read) > LARGEST_BYTES:
            raise UsageError(f"{path} is larger than {LARGEST_BYTES:,} bytes: it is no recipe")
        return tomllib.loads(read.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, 5,000 digits, deep nesting
        raise UsageError(f"{path} is not a recipe in TOML: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read the recipe {path}: {error.strerror}") from error


def _flatten(content: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of sections by their keys: `{"train.epochs": 30}`."""
    given: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            given |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            given[name] = value
    return given


def find_recipe(name_or_path: str) -> Path:
    """Return the file of a recipe given by name or by path."""
    if name_or_path in recipe_names():
        return pipelines_folder() / f"{name_or_path}.toml"
    path = Path(name_or_path)
    with contextlib.suppress(OSError):  # a name too long for the file system is no file either
        if name_or_path and path.is_dir():
            names = ", ".join(recipe_names())
            raise UsageError(f"{path} is a folder; give a recipe (.toml) or a name: {names}")
        if path.is_file():
            return path
    raise UsageError(
        f"no recipe {name_or_path!r}, neither a file nor a name, nor a folder of images;"
        f" {suggest(name_or_path, recipe_names())}"
    )


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """Return `section.key=value` texts (or `seed=value`) as checked settings; the last one wins.

    A value is read as TOML, and as plain text where it is not TOML (`data.name=digits`).

    Raises:
        UsageError: another form, no such setting, or a value of another type or out of its range.
    """
    given = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = ".".join(part.strip() for part in key.split("."))
        if not equals or not all(key.split(".")) or key.count(".") > 1:
            raise UsageError(f"--set {show(text)} is not of the form section.key=value")
        try:
            given[key] = check_setting(key, parse_value(value.strip()))
        except UsageError as error:
            raise UsageError(f"--set: {error}") from error
    return given


def parse_value(text: str) -> Any:
    """Return `text` read as a TOML value, or as it stands."""
    try:
        read = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # not TOML, 5,000 digits, deep nesting
        return text
    return read["value"] if len(read) == 1 else text  # more lines are more keys, not this value


def parse_recipe(content: dict[str, Any], origin: str) -> Recipe:
    """Check the content of a recipe and return it frozen; `origin` names it in errors.

    Raises:
        UsageError: an unknown key, or a value of another type or out of its range.
    """
    try:
        return replace_settings(Recipe(), _flatten(content))
    except UsageError as error:
        raise UsageError(f"{origin}: {error}") from error
