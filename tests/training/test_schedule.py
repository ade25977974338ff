from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import pytest

from mobilenet_tf.recipe import FitSettings, TrainSettings
from mobilenet_tf.training.schedule import learning_rate_at, resolution_at

Name = Literal["one_cycle", "cosine", "step"]
NAMES: tuple[Name, ...] = ("one_cycle", "cosine", "step")


def rates(schedule: Name, *, epochs: int = 10, steps: int = 7, **values: float) -> list[float]:
    settings = FitSettings(
        schedule=schedule,
        epochs=epochs,
        learning_rate=0.5,
        **values,  # type: ignore[arg-type]
    )
    return [learning_rate_at(step, settings, steps) for step in range(epochs * steps)]


@pytest.mark.parametrize("schedule", NAMES)
@pytest.mark.parametrize("warmup_share", [0.0, 0.1, 0.33, 0.99])
def test_every_rate_is_positive_and_none_above_the_highest(
    schedule: Name, warmup_share: float
) -> None:
    for epochs, steps in ((1, 1), (1, 2), (10, 7)):
        found = rates(schedule, epochs=epochs, steps=steps, warmup_share=warmup_share)
        assert all(0 < rate <= 0.5 and math.isfinite(rate) for rate in found)


@pytest.mark.parametrize("schedule", NAMES)
def test_the_rate_rises_linearly_through_the_warm_up_and_never_after(schedule: Name) -> None:
    found = rates(schedule, warmup_share=0.2)
    warm, rest = found[:14], found[14:]
    differences = [b - a for a, b in pairwise(warm)]
    assert differences == pytest.approx([0.5 / 15] * 13)
    assert rest[0] == 0.5
    assert all(a >= b for a, b in pairwise(rest))


def test_one_cycle_falls_linearly_towards_zero() -> None:
    found = rates("one_cycle", warmup_share=0.2)[14:]
    assert found == pytest.approx([0.5 * (1 - i / 56) for i in range(56)])


def test_cosine_is_half_way_at_half_time() -> None:
    found = rates("cosine", warmup_share=0.0)
    assert found[0] == 0.5
    assert found[35] == pytest.approx(0.25)
    assert found[-1] < 0.001


def test_steps_drop_by_the_factor_every_so_many_epochs() -> None:
    found = rates("step", warmup_share=0.0, step_epochs=4, step_factor=0.2)
    by_epoch = [found[epoch * 7] for epoch in range(10)]
    assert by_epoch == pytest.approx([0.5] * 4 + [0.1] * 4 + [0.02] * 2)
    assert len(set(found[:28])) == 1
    default = rates("step", epochs=130, steps=1, warmup_share=0.0)
    assert (default[59], default[60], default[120]) == pytest.approx((0.5, 0.1, 0.02))


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_rates_fall_to_the_final_one(schedule: str) -> None:
    found = rates(schedule, warmup_share=0.0, final_learning_rate=0.1)
    assert found[0] == pytest.approx(0.5)
    assert found[35] == pytest.approx(0.3)
    assert 0.1 < found[-1] < 0.107


@pytest.mark.parametrize(
    ("sides", "share", "expected"),
    [
        ((), 0.6, [32] * 10),
        ((16,), 0.6, [16] * 6 + [32] * 4),
        ((16, 24), 0.6, [16] * 3 + [24] * 3 + [32] * 4),
        ((8, 16, 24), 0.9, [8] * 3 + [16] * 3 + [24] * 3 + [32]),
        ((16, 24), 0.0, [32] * 10),
        ((16,), 1.0, [16] * 9 + [32]),
    ],
)
def test_images_grow_in_equal_parts_and_end_at_full_size(
    sides: tuple[int, ...], share: float, expected: list[int]
) -> None:
    settings = TrainSettings(epochs=10, progressive_share=share)
    assert [resolution_at(sides, 32, settings, epoch / 10) for epoch in range(10)] == expected


def test_a_single_epoch_is_at_full_size() -> None:
    assert resolution_at((16,), 32, TrainSettings(epochs=1), 0.0) == 32
