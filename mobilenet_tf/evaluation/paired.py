"""Two classifiers on the same images: how far they agree, which of them is right where."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from mobilenet_tf.runs.records import Paired, Parity, Preference, differ

if TYPE_CHECKING:
    import numpy as np

OUTPUT_STEPS = 256  # an int8 probability has steps of 1/256
BISECTIONS = 50  # of an interval of length 1: to 1e-15


def pair(right: np.ndarray, reference: np.ndarray, labels: np.ndarray, classes: int) -> Paired:
    """Return how many images of each class were lost and gained against a reference.

    All three arrays are (N,), the first two bool, `labels` in [0, classes).
    """
    import numpy as np

    lost = np.bincount(labels[reference & ~right], minlength=classes)
    gained = np.bincount(labels[right & ~reference], minlength=classes)
    return Paired(lost=tuple(lost.tolist()), gained=tuple(gained.tolist()))


def compare_probabilities(one: np.ndarray, other: np.ndarray) -> Parity:
    """Return how far two sets of probabilities (N, C) for the same images differ.

    Differences are in steps of an int8 output, 1/256 of probability.
    """
    difference = abs(one.astype("f8") - other.astype("f8")) * OUTPUT_STEPS
    return Parity(
        count=len(one),
        top1_agreement=float((one.argmax(-1) == other.argmax(-1)).mean()),
        largest_difference_steps=round(float(difference.max()), 3),
        mean_difference_steps=round(float(difference.mean()), 5),
    )


def prefer(
    tuned: np.ndarray,
    calibrated: np.ndarray,
    expected: np.ndarray,
    labels: np.ndarray | None,
    *,
    tuned_before: bool = False,
) -> Preference:
    """Return whether a fine-tuned int8 network is preferred to the calibrated one.

    All arrays are (N,): classes that the two and the float network, `expected`, predict; `labels`
    is None for training images, which say nothing about accuracy. What counts is accuracy where
    the two differ by more than the standard error of their paired difference, else agreement with
    the float network; where that does not differ either, calibration alone is preferred, or what
    was preferred before.
    """
    agreement = _measure("agreement", expected, tuned, calibrated, labels)
    if tuned_before and not agreement.decisive:
        agreement = replace(agreement, fine_tuned=True)
    if labels is None:
        return agreement
    accuracy = _measure("accuracy", labels, tuned, calibrated, labels)
    return accuracy if accuracy.decisive else agreement


def _measure(
    measure: Literal["accuracy", "agreement"],
    target: np.ndarray,
    tuned: np.ndarray,
    calibrated: np.ndarray,
    labels: np.ndarray | None,
) -> Preference:
    gained = int(((tuned == target) & (calibrated != target)).sum())
    lost = int(((tuned != target) & (calibrated == target)).sum())
    return Preference(
        fine_tuned=gained > lost and differ(gained, lost),
        measure=measure,
        images="augmented training" if labels is None else "validation",
        count=len(tuned),
        gained=gained,
        lost=lost,
    )


@dataclass(frozen=True)
class Difference:
    """A paired difference of accuracies, a share: its estimate and the ends of its interval."""

    count: int
    lost: int
    gained: int
    low: float
    high: float

    @property
    def estimate(self) -> float:
        """The difference that was measured, negative where accuracy was lost."""
        return (self.gained - self.lost) / self.count


def estimate_difference(
    lost: int, gained: int, count: int, *, confidence: float = 0.95
) -> Difference:
    """Return the difference of two accuracies on the same `count` images, with its interval.

    Source: the score interval of Tango, Statistics in Medicine 17 (1998), 891-908; it keeps its
    confidence with few images and with none that differ, where Wald's interval has length 0.
    """
    if count <= 0 or min(lost, gained) < 0 or lost + gained > count:
        raise ValueError(f"{lost} lost and {gained} gained of {count} images")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    high = _upper_end(gained, lost, count, z)
    return Difference(count, lost, gained, -_upper_end(lost, gained, count, z), high)


def mcnemar_p(lost: int, gained: int) -> float:
    """Return the two-sided p of McNemar's exact test: are losses and gains equally likely?

    Source: McNemar, Psychometrika 12 (1947), 153-157, with the binomial distribution.
    """
    total = lost + gained
    if total == 0:
        return 1.0
    few, log_half = min(lost, gained), total * math.log(2)
    logs = (
        math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) - log_half
        for k in range(few + 1)
    )
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def smallest_count(limit: float, *, confidence: float = 0.95) -> int:
    """Return how many images show a difference within `limit` where no prediction differs."""
    square = NormalDist().inv_cdf(0.5 + confidence / 2) ** 2
    return math.ceil(square * (1 - limit) / limit)


def _upper_end(more: int, less: int, count: int, z: float) -> float:
    """Return the largest difference (more - less) / count that the score test does not reject."""
    low, high = (more - less) / count, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if _score(more, less, count, middle) < -z:
            high = middle
        else:
            low = middle
    return (low + high) / 2


def _score(more: int, less: int, count: int, difference: float) -> float:
    """Return Tango's score statistic for a hypothetical difference, standard normal under it."""
    a = 2.0 * count
    b = -more - less + (2 * count - more + less) * difference
    c = -less * difference * (1 - difference)
    # the likeliest share of images that only the other has right, given the difference
    share = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = count * (2 * share + difference * (1 - difference))
    gap = more - less - count * difference
    return gap / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, gap) if gap else 0
