"""A sweep in its folder: a whole grid, or the winner under a budget."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilenet_tf.data.photographs import is_source, name_source, open_source, settle_source
from mobilenet_tf.errors import MtfError
from mobilenet_tf.pipeline.own_images import start_recipe
from mobilenet_tf.recipe import load_axes, load_recipe, replace_settings
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.sweep import latency
from mobilenet_tf.sweep.candidates import Budget, Candidate, choose_candidates, list_candidates
from mobilenet_tf.sweep.estimate import estimate_s, measure_rate
from mobilenet_tf.sweep.grid import Grid, MakeRecipe, Refusal, Trial, make_trial, make_trials
from mobilenet_tf.sweep.halving import Contest, enter, limit, run_halving, settle_epochs
from mobilenet_tf.sweep.schedule import make_job, run_jobs
from mobilenet_tf.sweep.workers import Outcome, Workers
from mobilenet_tf.system.hardware import usable_cores

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """What trials are made from: a recipe or images, and its `[sweep]` table."""

    name: str
    make_recipe: MakeRecipe
    axes: Mapping[str, Any]


def open_recipe(named: str, data_dir: Path | None) -> Source:
    """Return the source that a recipe's name or file, or a folder of images, stands for.

    Raises:
        UsageError: there is none of that name, or it is damaged.
    """
    if is_source(named):
        source = open_source(named, data_dir)
        nowhere = RunFolder(source / ".mtf-sweep")  # no run whose weights could be kept
        return Source(name_source(source), lambda given: start_recipe(source, given, nowhere), {})
    base = load_recipe(named)
    return Source(Path(named).stem, lambda given: replace_settings(base, given), load_axes(named))


@dataclass(frozen=True)
class Session:
    """Where the trials of a source run."""

    source: Source
    out: Path
    data_dir: Path | None
    workers: Workers

    def make_trial(self, settings: Mapping[str, Any]) -> Trial:
        """Return the trial with these settings.

        Raises:
            as `make_plan`.
        """
        return make_trial(self.source.make_recipe(settings), self.out, self.data_dir)

    def list_trials(self, grid: Grid) -> tuple[list[Trial], list[Refusal]]:
        """Return all trials of a grid, and the combinations that are refused."""
        return make_trials(grid, self.source.make_recipe, self.out, self.data_dir)

    def estimate_s(self, trials: Sequence[Trial]) -> float:
        """Return about how long trials take on this machine."""
        plans = (trial.plan for trial in trials)
        one_by_one_s = sum(estimate_s(plans, measure_rate(self.out)))
        return one_by_one_s / min(self.workers.count, usable_cores())

    def run(self, trials: Sequence[Trial]) -> list[Outcome]:
        """Run trials; a failure is recorded, and ends no other."""
        return run_jobs([make_job(trial) for trial in trials], self.workers, self.out)

    def list_candidates(self, grid: Grid, budget: Budget, latency_from: str) -> list[Candidate]:
        """Return the networks that meet a budget of size and latency.

        Raises:
            UsageError: none does; the message names the nearest.
        """
        base = self.source.make_recipe({"train.weights": ""})  # costs need none
        return choose_candidates(
            list_candidates(settle_source(base, self.data_dir), grid),
            budget,
            latency.open_source(latency_from, self.out),
            widest_alone=not grid.axes,
        )

    def enter(self, candidates: Sequence[Candidate], budget: Budget) -> list[Contest]:
        """Return the candidates that there is time for, ready to compete.

        Raises:
            UsageError: there is no time for one; the message names the nearest.
        """
        return limit(enter(candidates, self.make_trial), budget, self.out)

    def compete(self, contests: Sequence[Contest], budget: Budget) -> Trial:
        """Let networks compete on validation images, run the winner to its report, and return it.

        Raises:
            MtfError: no network could be trained, or the winner failed.
        """
        started = time.monotonic()
        winner = run_halving(contests, self.make_trial, budget, self.workers, self.out)
        left_s = (budget.within_s or 0.0) - (time.monotonic() - started)
        final = settle_epochs(winner, self.make_trial, budget, left_s, self.out)
        log.info("winner: %s, now all the way", winner.candidate.name)
        if not final.is_finished():
            (outcome,) = self.run([final])
            if outcome.reason:
                raise MtfError(f"the winner, {final.name}, failed: {outcome.reason}")
        return final
