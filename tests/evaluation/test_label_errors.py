from __future__ import annotations

import numpy as np

from mobilenet_tf.evaluation.label_errors import find_label_errors


def make_predictions(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (N, 4) that are nearly always right, and their labels."""
    random = np.random.RandomState(seed)
    labels = random.randint(0, 4, count)
    logits = random.normal(0, 1, (count, 4))
    logits[np.arange(count), labels] += 5
    powers = np.exp(logits)
    return powers / powers.sum(-1, keepdims=True), labels


def test_labels_that_were_exchanged_come_first() -> None:
    probabilities, labels = make_predictions(400, 0)
    wrong = np.arange(0, 400, 20)
    given = labels.copy()
    given[wrong] = (given[wrong] + 1) % 4
    found = find_label_errors(probabilities, given)
    assert len(set(found) & set(wrong)) >= 15
    assert len(set(found[:12]) - set(wrong)) <= 2
    margins = probabilities[found, given[found]] - probabilities[found].max(-1)
    assert (np.diff(margins) >= 0).all()


def test_predictions_that_agree_with_every_label_suspect_none() -> None:
    labels = np.array([0, 1, 1, 0])
    found = find_label_errors(np.eye(3)[labels] * 0.9 + 0.03, labels)
    assert found.dtype == np.int64
    assert len(found) == 0


def test_a_class_without_images_is_never_suggested() -> None:
    probabilities = np.array([[0.3, 0.1, 0.6], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])
    assert len(find_label_errors(probabilities, np.array([0, 0, 1]))) == 0
