"""Successive halving, with a stand-in for workers that notes what is asked and gives accuracies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.recipe import load_recipe, replace_settings
from mobilenet_tf.runs import results
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.sweep.candidates import Budget
from mobilenet_tf.sweep.grid import make_grid
from mobilenet_tf.sweep.halving import limit, rungs_of, settle_epochs
from mobilenet_tf.sweep.session import Session, Source
from mobilenet_tf.sweep.trial import Job
from mobilenet_tf.sweep.workers import Outcome

BASE = load_recipe("quickstart", ["train.epochs=9"])
ALPHAS = "model.alpha=0.1,0.15,0.2,0.25,0.3,0.35,0.4,0.45,0.5"
ANY = Budget(size_bytes=1e9)


class StandIn:
    """Workers that finish a training at once, with the accuracy that `judge` gives it."""

    count = 2

    def __init__(self, judge: Callable[[Job], float | None], make_result: Any) -> None:
        self.judge, self.make_result = judge, make_result
        self.asked: list[tuple[int, float, bool]] = []

    def run(self, jobs: Sequence[Job], until: float = float("inf")) -> Iterator[Outcome]:
        for job in jobs:
            model, epochs = job.recipe.model, job.recipe.train.epochs
            self.asked.append((epochs, model.alpha, job.training_alone))
            top1 = self.judge(job)
            if top1 is None:
                yield Outcome(job, "broken")
                continue
            folder = RunFolder(Path(job.folder)).stage("train")
            folder.mkdir(parents=True, exist_ok=True)
            made = self.make_result("train", folder)
            metrics = replace(made.metrics, validation_top1=top1, images_per_s=1e6)
            results.save_result(replace(made, metrics=metrics), folder)
            yield Outcome(job)


@pytest.fixture
def make_session(tmp_path: Path, make_result: Any) -> Callable[..., Session]:
    def make(judge: Callable[[Job], float | None] = lambda job: job.recipe.model.alpha) -> Session:
        source = Source("quickstart", lambda given: replace_settings(BASE, given), {})
        return Session(source, tmp_path / "sweep", None, StandIn(judge, make_result))

    return make


def test_rungs() -> None:
    assert rungs_of(1) == [(1, 1.0)]
    assert rungs_of(3) == [(3, pytest.approx(1 / 3)), (1, 1.0)]
    assert [count for count, _ in rungs_of(10)] == [10, 4, 2, 1]


def test_the_best_third_trains_on_and_the_winner_goes_all_the_way(make_session) -> None:
    session = make_session(lambda job: 1 - abs(job.recipe.model.alpha - 0.3))
    contests = session.enter(session.list_candidates(make_grid({}, [ALPHAS]), ANY, "here"), ANY)
    final = session.compete(contests, ANY)
    asked = session.workers.asked
    assert [epochs for epochs, _, _ in asked] == [1] * 9 + [3] * 3 + [9]
    assert {alpha for epochs, alpha, _ in asked if epochs == 3} == {0.25, 0.3, 0.35}
    assert [alone for *_, alone in asked] == [True] * 12 + [False]
    assert final.plan.recipe == replace_settings(BASE, {"model.alpha": 0.3})


def test_what_has_been_trained_is_not_trained_again(make_session) -> None:
    session = make_session()
    contests = session.enter(session.list_candidates(make_grid({}, [ALPHAS]), ANY, "here"), ANY)
    session.compete(contests, ANY)
    session.workers.asked.clear()
    session.compete(contests, ANY)
    assert session.workers.asked == [(9, 0.5, False)]  # its later stages, which nothing stood for


def test_a_failure_drops_out(make_session) -> None:
    session = make_session(
        lambda job: None if job.recipe.model.alpha == 0.5 else job.recipe.model.alpha
    )
    contests = session.enter(session.list_candidates(make_grid({}, [ALPHAS]), ANY, "here"), ANY)
    assert session.compete(contests, ANY).plan.recipe.model.alpha == 0.45
    broken = make_session(lambda job: None)
    few = broken.list_candidates(make_grid({}, ["model.alpha=0.12,0.13"]), ANY, "here")
    with pytest.raises(MtfError, match="no network has finished"):
        broken.compete(broken.enter(few, ANY), ANY)


def test_time_decides_how_many_compete(make_session, tmp_path: Path) -> None:
    session = make_session()
    candidates = session.list_candidates(make_grid({}, [ALPHAS]), ANY, "here")
    counts = []
    for within_s in (10 * 3600, 200, 100):
        counts.append(len(session.enter(candidates, Budget(within_s=within_s))))
    assert counts == sorted(counts, reverse=True)
    assert (counts[0], counts[-1]) == (9, 1)
    with pytest.raises(UsageError, match=r"no time.*v1_010_r32"):
        session.enter(candidates, Budget(within_s=5))


def test_the_last_training_is_cut_to_the_time_that_is_left_and_stays_so(make_session) -> None:
    session = make_session()
    budget = Budget(within_s=1000)
    (contest,) = session.enter(
        session.list_candidates(make_grid({}, ["model.alpha=0.5"]), ANY, "here"), budget
    )
    session.out.mkdir()
    cut = settle_epochs(contest, session.make_trial, budget, 61.0, session.out)
    assert 1 <= cut.plan.recipe.train.epochs < 9
    again = settle_epochs(contest, session.make_trial, budget, 900.0, session.out)
    assert again.name == cut.name
    other = Budget(within_s=2000)
    assert settle_epochs(contest, session.make_trial, other, 1900.0, session.out).name == (
        contest.trial.name
    )


def test_nothing_to_judge_by(make_session) -> None:
    session = make_session()
    grid = make_grid({}, ["data.validation_count=0", "model.alpha=0.1,0.2"])
    with pytest.raises(UsageError, match="validation"):
        session.enter(session.list_candidates(grid, ANY, "here"), ANY)
    assert limit([], Budget(), session.out) == []
