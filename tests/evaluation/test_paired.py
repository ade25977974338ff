from __future__ import annotations

import numpy as np
import pytest

from mobilenet_tf.evaluation.paired import (
    estimate_difference,
    mcnemar_p,
    pair,
    prefer,
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


def classes(count: int, **wrong: range) -> dict[str, np.ndarray]:
    """Return the classes of each name: 1, and 0 at the places given."""
    return {
        name: np.isin(np.arange(count), places, invert=True) * 1 for name, places in wrong.items()
    }


def test_accuracy_decides_where_it_differs_by_more_than_chance() -> None:
    labels = np.ones(100, int)
    made = classes(100, tuned=range(2), calibrated=range(10), expected=range(10))
    found = prefer(**made, labels=labels)
    assert (found.fine_tuned, found.measure, found.gained, found.lost) == (True, "accuracy", 8, 0)
    swapped = {**made, "tuned": made["calibrated"], "calibrated": made["tuned"]}
    found = prefer(**swapped, labels=labels)
    assert (found.fine_tuned, found.measure, found.lost) == (False, "accuracy", 8)


def test_agreement_decides_where_accuracy_does_not() -> None:
    made = classes(100, tuned=range(10), calibrated=range(10, 20), expected=range(10))
    found = prefer(**made, labels=np.ones(100, int))
    assert (found.fine_tuned, found.measure, found.gained, found.lost) == (True, "agreement", 20, 0)


@pytest.mark.parametrize("labels", [None, np.ones(100, int)])
def test_calibration_alone_is_preferred_where_nothing_differs(labels: np.ndarray | None) -> None:
    found = prefer(
        **classes(100, tuned=range(1), calibrated=range(1, 2), expected=range(0)), labels=labels
    )
    assert not found.fine_tuned
    assert not found.decisive
    assert found.images == ("augmented training" if labels is None else "validation")


def test_what_was_preferred_before_stands_where_nothing_differs() -> None:
    made = classes(100, tuned=range(1), calibrated=range(1, 2), expected=range(0))
    found = prefer(**made, labels=None, tuned_before=True)
    assert found.fine_tuned
    assert found.reason.endswith("no more than chance; fine-tuning had gained when it ended")
    worse = classes(100, tuned=range(8), calibrated=range(0), expected=range(0))
    assert not prefer(**worse, labels=None, tuned_before=True).fine_tuned
    assert not prefer(**worse, labels=np.ones(100, int), tuned_before=True).fine_tuned


def test_one_image_is_chance() -> None:
    found = prefer(
        **classes(100, tuned=range(0), calibrated=range(1), expected=range(0)), labels=None
    )
    assert (found.gained, found.lost, found.fine_tuned) == (1, 0, False)
