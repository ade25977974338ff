"""The work of a sweep: data once, every trial once, failures recorded, one page of all."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mobilenet_tf.data.index import TEST, TRAIN, VALIDATION
from mobilenet_tf.data.photographs import open_photographs
from mobilenet_tf.data.sources import prepare_dataset
from mobilenet_tf.errors import MtfError
from mobilenet_tf.files import write_json
from mobilenet_tf.pipeline.comparison import describe_benchmark
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.report.comparison import ComparisonRow
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.sweep.grid import Trial
from mobilenet_tf.sweep.trial import Job
from mobilenet_tf.sweep.workers import Outcome, Workers

log = logging.getLogger(__name__)
FAILURES = "failures"


def make_job(trial: Trial, *, training_alone: bool = False) -> Job:
    """Return the job of a trial."""
    plan = trial.plan
    return Job(
        folder=str(plan.run.path),
        recipe=plan.recipe,
        data_dir=str(plan.data_dir) if plan.data_dir else None,
        training_alone=training_alone,
    )


def run_jobs(
    jobs: Sequence[Job], workers: Workers, out: Path, until: float = float("inf")
) -> list[Outcome]:
    """Run jobs and return what became of each; a failure is recorded, and ends no other.

    Raises:
        MtfError: the data cannot be prepared, or nothing more can be run.
    """
    prepare_data(jobs)
    outcomes = []
    for outcome in workers.run(jobs, until):
        outcomes.append(outcome)
        name, note = outcome.job.name, out / FAILURES / f"{outcome.job.name}.json"
        done = f"{len(outcomes)} of {len(jobs)}"
        if outcome.reason:
            log.warning("%s: failed (%s): %s", name, done, outcome.reason)
            with contextlib.suppress(MtfError):  # a full disk: the reason says so
                write_json(note, {"trial": name, "reason": outcome.reason})
        else:
            log.info("%s: done (%s)", name, done)
            note.unlink(missing_ok=True)
    return outcomes


def prepare_data(jobs: Sequence[Job]) -> None:
    """Download or decode, once for all, what several jobs read."""
    seen: list[tuple[Any, int]] = []
    for job in jobs:
        asked = (job.recipe.data, job.recipe.model.resolution_px)
        if asked not in seen:
            seen.append(asked)
            _prepare(job.recipe, Path(job.data_dir) if job.data_dir else None)


def _prepare(recipe: Recipe, data_dir: Path | None) -> None:
    if not recipe.data.path:
        prepare_dataset(recipe.data.name, data_dir)
        return
    photographs = open_photographs(recipe, data_dir)
    for part in (TRAIN, VALIDATION, TEST):
        photographs.split(part)


def describe_runs(out: Path) -> list[ComparisonRow]:
    """Return the rows of all runs below a folder that have an up-to-date benchmark."""
    rows = []
    for file in sorted(out.glob("*/benchmark/result.json")):
        with contextlib.suppress(MtfError):  # out of date, or of another version
            rows.append(describe_benchmark(RunFolder(file.parents[1])))
    return rows
