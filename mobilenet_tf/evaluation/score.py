"""Probabilities and labels -> metrics, without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Score:
    """Metrics over a split; shares are 0 to 1, `confusion[true][predicted]` counts images."""

    top1: float
    top5: float | None  # None with five classes or fewer, where it has no meaning
    loss: float  # mean cross-entropy, nats
    per_class: list[float | None]  # recall of each class; None for one without images
    confusion: list[list[int]]
    count: int
    balanced_accuracy: float  # mean recall of the classes that have images
    precision: list[float | None]  # None for a class that was never predicted
    f1: list[float | None]  # None for a class without images


def score_probabilities(probabilities: np.ndarray, labels: np.ndarray) -> Score:
    """Return the metrics of probabilities (N, C) against labels (N,).

    A tie goes to the lower class, as in TFLite's own ArgMax and numpy's.
    """
    count, classes = probabilities.shape
    predicted = probabilities.argmax(-1)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    ranks = np.argsort(-probabilities, axis=-1, kind="stable")[:, :5]
    true = probabilities[np.arange(count), labels]
    recalls = divide(confusion.diagonal(), confusion.sum(1))
    return Score(
        top1=float((predicted == labels).mean()),
        top5=float((ranks == labels[:, None]).any(-1).mean()) if classes > 5 else None,
        loss=float(-np.log(np.maximum(true, 1e-7)).mean()),
        per_class=recalls,
        confusion=confusion.tolist(),
        count=count,
        balanced_accuracy=mean_known(recalls),
        precision=divide(confusion.diagonal(), confusion.sum(0)),
        f1=f1_by_class(confusion),
    )


def f1_by_class(confusion: Sequence[Sequence[int]] | np.ndarray) -> list[float | None]:
    """Return the F1 of each class, 2 TP / (2 TP + FP + FN); None for one without images."""
    counts = np.asarray(confusion)
    total = counts.sum(1)
    return divide(2 * counts.diagonal(), np.where(total, total + counts.sum(0), 0))


def mean_known(values: Sequence[float | None]) -> float:
    """Return the mean of the values that are known: of recalls, the balanced accuracy."""
    return float(np.mean([value for value in values if value is not None]))


def divide(parts: np.ndarray, totals: np.ndarray) -> list[float | None]:
    """Return parts / totals one by one, None where the total is 0."""
    pairs = zip(parts.tolist(), totals.tolist(), strict=True)
    return [part / total if total else None for part, total in pairs]
