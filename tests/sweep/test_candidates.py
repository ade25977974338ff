from __future__ import annotations

import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.cost import count_costs
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.runs.names import recipe_variant
from mobilenet_tf.sweep.candidates import (
    ALPHAS,
    Budget,
    Candidate,
    choose_candidates,
    list_candidates,
    parse_duration,
)
from mobilenet_tf.sweep.grid import make_grid

BASE = load_recipe("cifar10")
EVERYTHING = make_grid({}, [])


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7200), ("90min", 5400), ("1h30m", 5400), ("1.5 h", 5400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2x", "1h x", "-1h", "0h", "1d2h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="--within"):
        parse_duration(text)


def test_without_values_all_models_and_widths_are_candidates() -> None:
    found = list_candidates(BASE, EVERYTHING)
    assert {c.recipe.model.alpha for c in found} == set(ALPHAS)
    assert {c.recipe.model.resolution_px for c in found} == {32}
    one = next(c for c in found if c.name == "v1_050_r32")
    cost = count_costs(recipe_variant(BASE))
    assert (one.macs, one.parameters) == (cost.macs, cost.parameters)
    photographs = list_candidates(load_recipe("cifar10", ["model.resolution_px=160"]), EVERYTHING)
    assert {c.recipe.model.resolution_px for c in photographs} == {96, 128, 160}


def test_what_a_model_refuses_is_no_candidate() -> None:
    grid = make_grid({}, ["model.alpha=0.01,0.5", "model.name=mobilenet_v1"])
    assert [c.settings["model.alpha"] for c in list_candidates(BASE, grid)] == [0.5]


def never(candidate: Candidate) -> float:
    raise AssertionError(candidate)


def test_of_each_model_the_widest_that_fits_stays() -> None:
    candidates = list_candidates(BASE, EVERYTHING)
    chosen = choose_candidates(candidates, Budget(size_bytes=300e3), never, widest_alone=True)
    assert all(c.size_bytes <= 300e3 for c in chosen)
    assert len({c.recipe.model.name for c in chosen}) == len(chosen)
    assert [c.macs for c in chosen] == sorted((c.macs for c in chosen), reverse=True)
    v1 = next(c for c in chosen if c.recipe.model.name == "mobilenet_v1")
    assert v1.name == "v1_025_r32"


def test_latency_is_measured_from_the_widest_down_and_no_further() -> None:
    candidates = list_candidates(BASE, make_grid({}, ["model.alpha=0.25,0.5,0.75,1"]))
    asked = []

    def measure(candidate: Candidate) -> float | None:
        asked.append(candidate.name)
        return None if candidate.name == "v1_075_r32" else candidate.recipe.model.alpha * 10

    (chosen,) = choose_candidates(candidates, Budget(latency_ms=6), measure, widest_alone=True)
    assert (chosen.name, chosen.latency_ms) == ("v1_050_r32", 5.0)
    assert asked == ["v1_100_r32", "v1_075_r32", "v1_050_r32"]
    both = choose_candidates(candidates, Budget(latency_ms=6), measure, widest_alone=False)
    assert [c.name for c in both] == ["v1_050_r32", "v1_025_r32"]


def test_a_budget_that_nothing_meets_names_the_nearest() -> None:
    candidates = list_candidates(BASE, make_grid({}, ["model.alpha=0.25,0.5"]))
    with pytest.raises(UsageError, match=r"v1_025_r32.*259\.5 KB.*100 KB"):
        choose_candidates(candidates, Budget(size_bytes=100e3), never, widest_alone=True)
    with pytest.raises(UsageError, match=r"v1_025_r32.*2 ms.*1 ms"):
        choose_candidates(
            candidates, Budget(latency_ms=1), lambda c: 8 * c.recipe.model.alpha, widest_alone=True
        )
    with pytest.raises(UsageError, match="none of these"):
        choose_candidates(candidates, Budget(latency_ms=1), lambda c: None, widest_alone=True)
