from __future__ import annotations

import numpy as np
import pytest

from mobilenet_tf.evaluation.paired import (
    estimate_difference,
    mcnemar_p,
    pair,
    smallest_count,
)


def test_pairs_are_counted_by_class() -> None:
    right, reference = np.array([1, 0, 0, 1], bool), np.array([1, 1, 0, 0], bool)
    paired = pair(right, reference, np.array([0, 1, 1, 2]), 3)
    assert (paired.lost, paired.gained) == ((0, 1, 0), (0, 0, 1))


def test_no_image_that_differs_gives_the_closed_form() -> None:
    z_square, found = 1.959964**2, estimate_difference(0, 0, 60)
    assert found.high == pytest.approx(z_square / (60 + z_square), abs=1e-6)
    assert found.low == pytest.approx(-found.high)
    assert smallest_count(0.005) == 765


def test_many_images_agree_with_the_normal_approximation() -> None:
    found = estimate_difference(120, 108, 10_000)
    assert found.estimate == pytest.approx(-0.0012)
    assert found.low == pytest.approx(-0.0012 - 1.96 * 228**0.5 / 10_000, abs=1e-4)
    assert found.high == pytest.approx(-0.0012 + 1.96 * 228**0.5 / 10_000, abs=1e-4)


def test_swapping_the_two_mirrors_the_interval() -> None:
    one, other = estimate_difference(7, 2, 50), estimate_difference(2, 7, 50)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_more_confidence_is_a_longer_interval() -> None:
    assert estimate_difference(5, 3, 100, confidence=0.995).low < estimate_difference(5, 3, 100).low


@pytest.mark.parametrize("counts", [(0, 0, 0), (-1, 0, 5), (3, 3, 5)])
def test_impossible_counts_are_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="of"):
        estimate_difference(*counts)


@pytest.mark.parametrize(
    ("lost", "gained", "p"), [(0, 0, 1.0), (5, 0, 0.0625), (1, 1, 1.0), (10, 2, 158 / 4096)]
)
def test_mcnemar_is_the_binomial_test(lost: int, gained: int, p: float) -> None:
    assert mcnemar_p(lost, gained) == pytest.approx(p)
