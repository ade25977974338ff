"""Successive halving: many networks for few epochs, the best third for three times as many.

After Jamieson and Talwalkar 2016, arXiv 1502.07943. Every trial is an ordinary run whose schedule
ends with its epochs, so that validation judges finished trainings and no middle of one.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.files import read_json, write_json
from mobilenet_tf.sweep.candidates import Budget, Candidate, explain_late
from mobilenet_tf.sweep.estimate import estimate_s, measure_rate
from mobilenet_tf.sweep.grid import Trial
from mobilenet_tf.sweep.schedule import make_job, run_jobs
from mobilenet_tf.sweep.workers import Workers
from mobilenet_tf.system.hardware import usable_cores

log = logging.getLogger(__name__)
FACTOR = 3
MOST_CANDIDATES = 27
NOTES = "epochs.json"
USUAL_CANDIDATES = 9  # without a limit of time
MakeTrial = Callable[[Mapping[str, Any]], Trial]


@dataclass
class Contest:
    """A candidate and the validation accuracy that it had after each rung, by its epochs."""

    candidate: Candidate
    trial: Trial  # with all epochs
    scores: dict[int, float] = field(default_factory=dict)


def rungs_of(count: int) -> list[tuple[int, float]]:
    """Return how many networks train for which share of the epochs, rung by rung; the last is 1."""
    counts = [count]
    while counts[-1] > 1:
        counts.append(math.ceil(counts[-1] / FACTOR))
    return [(n, FACTOR ** float(i + 1 - len(counts))) for i, n in enumerate(counts)]


def enter(candidates: Sequence[Candidate], make_trial: MakeTrial) -> list[Contest]:
    """Return the contests of as many candidates as a halving takes; a refused one is named.

    Raises:
        UsageError: all are refused, or nothing is held out to judge by.
    """
    contests = []
    for candidate in candidates[:MOST_CANDIDATES]:
        try:
            contests.append(Contest(candidate, make_trial(candidate.settings)))
        except MtfError as error:
            log.warning("refused: %s: %s", candidate.name, error)
    if not contests:
        raise UsageError("all candidates are refused; see above")
    recipe = contests[0].trial.plan.recipe
    if not recipe.data.path and not recipe.data.validation_count:
        raise UsageError(
            "a budget needs validation images to choose by; set data.validation_count above 0"
        )
    return contests


def limit(contests: Sequence[Contest], budget: Budget, out: Path) -> list[Contest]:
    """Return as many of the contests, from the first, as there is time for.

    Raises:
        UsageError: there is no time for one; the message names the one that needs least.
    """
    if budget.within_s is None:
        return list(contests[:USUAL_CANDIDATES])
    rate, cores = measure_rate(out), usable_cores()
    plans = [contest.trial.plan for contest in contests]
    full_s = estimate_s(plans, rate, cores=cores)
    train_s = [s / cores for s in estimate_s(plans, rate, training_alone=True)]  # side by side
    for count in range(len(contests), 1, -1):
        # the costliest come first: whichever survive, they take no longer
        needed = sum(sum(train_s[:n]) * share for n, share in rungs_of(count)[:-1])
        if needed + max(full_s[:count]) <= budget.within_s:
            return list(contests[:count])
    fitting = [c for c, s in zip(contests, full_s, strict=True) if s <= budget.within_s]
    if not fitting:
        cheapest = min(range(len(contests)), key=lambda i: full_s[i])
        name = contests[cheapest].candidate.name
        raise UsageError(explain_late(budget, full_s[cheapest], name))
    return fitting[:1]


def run_halving(
    contests: Sequence[Contest], make_trial: MakeTrial, budget: Budget, workers: Workers, out: Path
) -> Contest:
    """Run all rungs but the last and return the winner, which has still to run with all epochs.

    Raises:
        MtfError: nothing has finished a rung, or nothing more can be run.
    """
    started, alive = time.monotonic(), list(contests)
    for count, share in rungs_of(len(contests))[:-1]:
        alive = alive[:count]
        trials = [make_trial(_with_epochs(contest, share)) for contest in alive]
        until = float("inf")
        if budget.within_s is not None:
            plan = alive[0].trial.plan
            (last_s,) = estimate_s([plan], measure_rate(out), cores=usable_cores())
            until = started + max(0.0, budget.within_s - last_s)
        waiting = [trial for trial in trials if not trial.plan.run.is_finished("train")]
        log.info("halving: %d networks, %.0f %% of the epochs", len(alive), 100 * share)
        jobs = [make_job(trial, training_alone=True) for trial in waiting]
        run_jobs(jobs, workers, out, until)
        for contest, trial in zip(alive, trials, strict=True):
            if trial.plan.run.is_finished("train"):
                metrics = trial.plan.run.load_stage("train").metrics
                contest.scores[trial.plan.recipe.train.epochs] = metrics.validation_top1 or 0.0
        judged = [contest for contest in alive if contest.scores]
        if not judged:
            raise MtfError(
                f"no network has finished its first training; why is in {out / 'logs'}, and the"
                " same command goes on"
            )
        # who has come further is better than who has not: the last score counts
        alive = sorted(judged, key=lambda c: (-max(c.scores), -c.scores[max(c.scores)]))
    return alive[0]


def settle_epochs(
    winner: Contest, make_trial: MakeTrial, budget: Budget, left_s: float, out: Path
) -> Trial:
    """Return the winner's trial with as many of its epochs as the time that is left allows.

    How many is noted, so that the same sweep, run again, goes on with the same trial.
    """
    if budget.within_s is None:
        return winner.trial
    notes, key = out / NOTES, f"{winner.trial.name}, within {budget.within_s:g} s"
    held = read_json(notes, dict[str, int], "remove it") if notes.is_file() else {}
    if key not in held:
        plan, rate, cores = winner.trial.plan, measure_rate(out), usable_cores()
        (full_s,) = estimate_s([plan], rate, cores=cores)
        (train_s,) = estimate_s([plan], rate, cores=cores, training_alone=True)
        share = 1 - max(0.0, full_s - left_s) / train_s
        held[key] = max(1, math.floor(plan.recipe.train.epochs * share))
        write_json(notes, held)
    if held[key] == winner.trial.plan.recipe.train.epochs:
        return winner.trial
    log.warning("%d epochs, so that it ends in time", held[key])
    return make_trial({**winner.candidate.settings, "train.epochs": held[key]})


def _with_epochs(contest: Contest, share: float) -> dict[str, Any]:
    epochs = contest.trial.plan.recipe.train.epochs
    return {**contest.candidate.settings, "train.epochs": max(1, round(epochs * share))}
