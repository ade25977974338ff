"""Do two implementations of one network agree? Probabilities against probabilities."""

from __future__ import annotations

import numpy as np

from mobilenet_tf.runs.results import Parity

OUTPUT_STEPS = 256  # an int8 probability has steps of 1/256


def compare_probabilities(one: np.ndarray, other: np.ndarray) -> Parity:
    """Return how far two sets of probabilities (N, C) for the same images differ.

    Differences are in steps of an int8 output, 1/256 of probability.
    """
    difference = np.abs(one.astype(np.float64) - other.astype(np.float64)) * OUTPUT_STEPS
    return Parity(
        count=len(one),
        top1_agreement=float((one.argmax(-1) == other.argmax(-1)).mean()),
        largest_difference_steps=round(float(difference.max()), 3),
        mean_difference_steps=round(float(difference.mean()), 5),
    )
