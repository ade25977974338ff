"""The trials of a sweep: every combination of the values that settings may have.

A trial is an ordinary run; its folder is named after its settings, so that the same trial in two
sweeps is one run.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mobilenet_tf.data.photographs import settle_source
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.pipeline.freshness import check_state
from mobilenet_tf.pipeline.plan import Plan, make_plan
from mobilenet_tf.pipeline.stages import STAGES, is_wanted
from mobilenet_tf.recipe import (
    Recipe,
    all_settings,
    changed_settings,
    check_setting,
    format_value,
    parse_value,
)
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.names import recipe_variant

MOST_TRIALS = 10_000
MakeRecipe = Callable[[Mapping[str, Any]], Recipe]


@dataclass(frozen=True)
class Trial:
    """One run of a sweep; `label` says what it has of the grid."""

    label: str
    plan: Plan

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.plan.run.name

    def is_finished(self) -> bool:
        """Tell whether every stage is up to date; what is damaged is not, and fails when run."""
        wanted = [stage for stage in STAGES if is_wanted(stage, self.plan.recipe)]
        try:
            return all(check_state(stage, self.plan).up_to_date for stage in wanted)
        except MtfError:
            return False


@dataclass(frozen=True)
class Refusal:
    """A combination that cannot be a run, and why."""

    label: str
    reason: str


@dataclass(frozen=True)
class Grid:
    """The values of each setting that varies, checked."""

    axes: Mapping[str, tuple[Any, ...]]

    @property
    def count(self) -> int:
        """The number of combinations."""
        return math.prod(len(values) for values in self.axes.values())

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Yield every combination, the last setting's values changing fastest."""
        for values in itertools.product(*self.axes.values()):
            yield dict(zip(self.axes, values, strict=True))


def make_grid(table: Mapping[str, Any], texts: Iterable[str]) -> Grid:
    """Return the grid of a recipe's `[sweep]` table and of `KEY=a,b` texts, which win.

    Raises:
        UsageError: no such setting, a value out of range, no value, or too many combinations.
    """
    given = {key: _listed(key, value) for key, value in table.items()}
    for text in texts:
        key, equals, listed = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text!r} is not of the form section.key=a,b")
        given[key.strip()] = _split(key.strip(), listed)
    axes = {}
    for key, values in given.items():
        checked = [check_setting(key, value) for value in values]
        if not checked:
            raise UsageError(f"{key} has no value to try; give one or more, or leave it out")
        axes[key] = tuple(dict.fromkeys(checked))  # each once
    grid = Grid(axes)
    if grid.count > MOST_TRIALS:
        raise UsageError(
            f"the grid has {grid.count:,} trials, and {MOST_TRIALS:,} are the most; give fewer"
            " values, or a budget such as --max-kilobytes, which chooses among networks"
        )
    return grid


def _listed(key: str, value: Any) -> list[Any]:
    """Return what a `[sweep]` table has for a setting as a list of values."""
    if not isinstance(value, list):
        return [value]
    setting = all_settings().get(key)
    if setting is not None and setting.is_list and not any(isinstance(v, list) for v in value):
        return [value] if value else []
    return value


def _split(key: str, text: str) -> list[Any]:
    """Return the values in `a,b` or `[a,b],[c]`; a comma within brackets or quotes parts none."""
    read = parse_value(f"[{text}]")
    if not isinstance(read, list):
        read = [parse_value(part.strip()) for part in text.split(",") if part.strip()]
    return _listed(key, read) if text.lstrip().startswith("[") else read


def make_trials(
    grid: Grid, make_recipe: MakeRecipe, out: Path, data_dir: Path | None
) -> tuple[list[Trial], list[Refusal]]:
    """Return the trials of a grid, each once, and the combinations that are refused.

    Nothing is written, and no image is decoded.
    """
    trials: dict[str, Trial] = {}
    refused = []
    for given in grid.combinations():
        label = ", ".join(f"{key}={format_value(value)}" for key, value in given.items())
        try:
            trial = make_trial(make_recipe(given), out, data_dir, label)
        except MtfError as error:
            refused.append(Refusal(label, str(error)))
        else:
            trials.setdefault(trial.name, trial)
    return list(trials.values()), refused


def make_trial(recipe: Recipe, out: Path, data_dir: Path | None, label: str = "") -> Trial:
    """Return the trial of a recipe, below `out`.

    Raises:
        as `make_plan`.
    """
    recipe = settle_source(recipe, data_dir)
    run = RunFolder(out / f"{recipe_variant(recipe).name}_{_digest(recipe)}")
    return Trial(label or run.name, make_plan(run, recipe, data_dir=data_dir))


def _digest(recipe: Recipe) -> str:
    """Return eight digits that stand for all settings which are not the default.

    A setting of a later version, at its default, leaves them as they are.
    """
    text = msgspec.json.encode(changed_settings(recipe), order="sorted")
    return hashlib.sha256(text).hexdigest()[:8]
