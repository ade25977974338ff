from __future__ import annotations

import numpy as np
import pytest

from mobilenet_tf.evaluation.calibration import (
    calibration_error,
    choose_threshold,
    cross_entropy,
    fit_temperature,
    measure_reliability,
    thin_out,
    trace_coverage,
)


def test_the_calibration_error_is_that_of_a_table_made_by_hand() -> None:
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.5, 0.5, 1.0])
    right = np.array([True, True, True, False, True, False, True])
    bins = measure_reliability(confidence, right)
    assert [each.count for each in bins] == [0] * 7 + [2] + [0] * 5 + [4, 1]
    assert bins[0].accuracy is None
    assert bins[13].accuracy == 0.75
    assert calibration_error(bins) == pytest.approx(4 / 7 * 0.15)


def test_images_of_equal_confidence_are_accepted_together() -> None:
    confidence = np.array([0.5, 0.9, 0.5, 0.9, 0.7])
    right = np.array([False, True, True, True, False])
    curve = trace_coverage(confidence, right)
    assert [(p.threshold, p.coverage, p.accuracy) for p in curve] == [
        (0.9, 0.4, 1.0),
        (0.7, 0.6, 2 / 3),
        (0.5, 1.0, 3 / 5),
    ]


def test_a_threshold_accepts_as_much_as_the_accuracy_allows() -> None:
    confidence = np.linspace(0.01, 1, 100)
    right = confidence > 0.305
    chosen = choose_threshold(confidence, right, 0.95)
    assert chosen is not None
    assert chosen.accuracy >= 0.95
    assert chosen.coverage == pytest.approx(0.73)
    one_more = confidence >= chosen.threshold - 0.011
    assert right[one_more].mean() < 0.95


def test_where_all_images_are_accurate_enough_half_of_the_mistakes_go() -> None:
    confidence = np.linspace(0.01, 1, 100)
    right = confidence > 0.025  # 98 %
    chosen = choose_threshold(confidence, right, 0.95)
    assert chosen is not None
    assert chosen.accuracy >= 0.99
    assert chosen.threshold == pytest.approx(0.03)


def test_there_is_no_threshold_where_none_is_accurate_or_too_few_images_are_left() -> None:
    confidence = np.linspace(0.01, 1, 100)
    assert choose_threshold(confidence, np.zeros(100, bool), 0.95) is None
    assert choose_threshold(confidence, confidence > 0.955, 0.95) is None


def test_a_long_curve_is_thinned_out_between_its_ends() -> None:
    curve = trace_coverage(np.linspace(0, 1, 5000), np.ones(5000, bool))
    thin = thin_out(curve, 50)
    assert len(thin) <= 50
    assert (thin[0], thin[-1]) == (curve[0], curve[-1])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_that_labels_were_drawn_with_is_found(temperature: float) -> None:
    random = np.random.RandomState(0)
    logits = random.normal(0, 3, (5_000, 5))
    drawn = logits / temperature + random.gumbel(size=logits.shape)
    labels = drawn.argmax(-1)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.08)
    best = cross_entropy(logits / found, labels)
    assert all(best < cross_entropy(logits / (found * by), labels) for by in (0.98, 1.02))
