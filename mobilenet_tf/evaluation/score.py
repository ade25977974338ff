"""Probabilities and labels -> metrics, without TensorFlow; shares of counts without numpy too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Counts = Sequence[Sequence[int]]  # a confusion matrix, [true][predicted]


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
    import numpy as np

    count, classes = probabilities.shape
    predicted = probabilities.argmax(-1)
    cells = np.bincount(labels * classes + predicted, minlength=classes * classes)
    confusion: list[list[int]] = cells.reshape(classes, classes).tolist()
    ranks = np.argsort(-probabilities, axis=-1, kind="stable")[:, :5]
    true = probabilities[np.arange(count), labels]
    recalls = divide(_diagonal(confusion), map(sum, confusion))
    return Score(
        top1=float((predicted == labels).mean()),
        top5=float((ranks == labels[:, None]).any(-1).mean()) if classes > 5 else None,
        loss=float(-np.log(np.maximum(true, 1e-7)).mean()),
        per_class=recalls,
        confusion=confusion,
        count=count,
        balanced_accuracy=mean_known(recalls),
        precision=divide(_diagonal(confusion), _sum_columns(confusion)),
        f1=f1_by_class(confusion),
    )


def f1_by_class(confusion: Counts) -> list[float | None]:
    """Return the F1 of each class, 2 TP / (2 TP + FP + FN); None for one without images."""
    totals = zip(map(sum, confusion), _sum_columns(confusion), strict=True)
    twice = (2 * hits for hits in _diagonal(confusion))
    return divide(twice, (true + predicted if true else 0 for true, predicted in totals))


def mean_known(values: Iterable[float | None]) -> float:
    """Return the mean of the values that are known: of recalls, the balanced accuracy."""
    return fmean(value for value in values if value is not None)


def divide(parts: Iterable[int], totals: Iterable[int]) -> list[float | None]:
    """Return parts / totals one by one, None where the total is 0."""
    pairs = zip(parts, totals, strict=True)
    return [part / total if total else None for part, total in pairs]


def _diagonal(confusion: Counts) -> list[int]:
    return [line[at] for at, line in enumerate(confusion)]


def _sum_columns(confusion: Counts) -> Iterable[int]:
    return map(sum, zip(*confusion, strict=True))
