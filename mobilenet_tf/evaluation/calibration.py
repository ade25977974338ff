"""Is a classifier as sure as it is right? Reliability, temperature, and when to say "unsure"."""

from __future__ import annotations

import math

import numpy as np

from mobilenet_tf.runs.records import Count, Record, Share
from mobilenet_tf.runs.results import Accepted

BIN_COUNT = 15
ACCEPTED_LEAST = 10  # images that a threshold must leave to be more than luck
TEMPERATURES = (0.05, 20.0)  # the range that is searched
_GOLDEN = (math.sqrt(5) - 1) / 2
_STEPS = 48  # of the golden section: the logarithm to 1e-9


class Bin(Record, frozen=True, kw_only=True):
    """Images of similar confidence: how sure the classifier is of them, and how often right."""

    count: Count
    confidence: Share | None  # None without images
    accuracy: Share | None


def measure_reliability(confidence: np.ndarray, right: np.ndarray) -> tuple[Bin, ...]:
    """Return 15 equally wide bins of confidence, (k/15, (k+1)/15]; both arrays are (N,).

    Source: Guo 2017, arXiv 1706.04599, section 2.
    """
    number = np.clip(np.ceil(confidence * BIN_COUNT).astype(int) - 1, 0, BIN_COUNT - 1)
    counts = np.bincount(number, minlength=BIN_COUNT)
    sums = [np.bincount(number, values, BIN_COUNT) for values in (confidence, right)]
    return tuple(
        Bin(
            count=int(n),
            confidence=float(sure) / n if n else None,
            accuracy=float(hits) / n if n else None,
        )
        for n, sure, hits in zip(counts.tolist(), *sums, strict=True)
    )


def calibration_error(bins: tuple[Bin, ...]) -> float:
    """Return the expected calibration error (ECE), 0 to 1: the bins' mean gap, by their images.

    Source: Guo 2017, arXiv 1706.04599, equation 3.
    """
    total = sum(each.count for each in bins)
    gaps = (each.count * abs((each.accuracy or 0) - (each.confidence or 0)) for each in bins)
    return math.fsum(gaps) / total


def measure_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the ECE of probabilities (N, C) against labels (N,)."""
    right = probabilities.argmax(-1) == labels
    return calibration_error(measure_reliability(probabilities.max(-1), right))


def trace_coverage(confidence: np.ndarray, right: np.ndarray) -> tuple[Accepted, ...]:
    """Return what each threshold accepts, from the highest that accepts an image to all images."""
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence, hits = confidence[order], np.cumsum(right[order])
    last = np.flatnonzero(np.append(np.diff(sorted_confidence) != 0, True))  # of equal ones
    return tuple(
        Accepted(
            threshold=float(sorted_confidence[at]),
            coverage=(at + 1) / len(order),
            accuracy=float(hits[at]) / (at + 1),
        )
        for at in last.tolist()
    )


def measure_accepted(
    confidence: np.ndarray, right: np.ndarray, threshold: float | None
) -> Accepted | None:
    """Return what a threshold accepts; None without one, or if that is nothing."""
    accepted = confidence >= (2 if threshold is None else threshold)
    if threshold is None or not accepted.any():
        return None
    coverage, accuracy = float(accepted.mean()), float(right[accepted].mean())
    return Accepted(threshold=threshold, coverage=coverage, accuracy=accuracy)


def choose_threshold(confidence: np.ndarray, right: np.ndarray, accuracy: float) -> Accepted | None:
    """Return the threshold that accepts the most images with at least `accuracy` of them right.

    Where all images together reach that already, half of the mistakes must go instead: there
    should be a threshold that images of something else can fall below. None if no threshold that
    accepts ten images is enough.
    """
    curve = trace_coverage(confidence, right)
    wanted = max(accuracy, (1 + curve[-1].accuracy) / 2)
    enough = [
        each
        for each in curve
        if each.accuracy >= wanted and each.coverage * len(right) >= ACCEPTED_LEAST - 0.5
    ]
    return enough[-1] if enough else None


def thin_out(curve: tuple[Accepted, ...], most: int = 200) -> tuple[Accepted, ...]:
    """Return at most `most` points of a curve, evenly spaced in coverage, both ends among them."""
    if len(curve) <= most:
        return curve
    coverages = [each.coverage for each in curve]
    places = np.searchsorted(coverages, np.linspace(coverages[0], coverages[-1], most))
    return tuple(curve[at] for at in np.unique(places).tolist())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature of logits (N, C) that makes labels (N,) the likeliest.

    The cross-entropy of softmax(logits / T) has one minimum in T, found by golden section. Of a
    few images all may be right, which would ask for T = 0: log T has a standard normal prior.
    Source: Guo 2017, arXiv 1706.04599, section 4.2.
    """
    logits = logits.astype(np.float64)

    def lose(log_temperature: float) -> float:
        prior = log_temperature**2 / (2 * len(labels))
        return cross_entropy(logits / math.exp(log_temperature), labels) + prior

    low, high = map(math.log, TEMPERATURES)
    inner = [high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)]
    losses = [lose(at) for at in inner]
    for _ in range(_STEPS):
        if losses[0] <= losses[1]:
            high, inner[1], losses[1] = inner[1], inner[0], losses[0]
            inner[0] = high - _GOLDEN * (high - low)
            losses[0] = lose(inner[0])
        else:
            low, inner[0], losses[0] = inner[0], inner[1], losses[1]
            inner[1] = low + _GOLDEN * (high - low)
            losses[1] = lose(inner[1])
    return math.exp((low + high) / 2)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy, nats, of logits (N, C) against labels (N,)."""
    shifted = logits - logits.max(-1, keepdims=True)
    logs = np.log(np.exp(shifted).sum(-1)) - shifted[np.arange(len(labels)), labels]
    return float(logs.mean())
