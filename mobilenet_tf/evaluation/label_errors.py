"""Which labels are probably wrong, from predictions on images that were not trained on."""

from __future__ import annotations

import numpy as np


def find_label_errors(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the rows of images whose labels are probably wrong, the likeliest first; int64.

    Probabilities (N, C) must be held out: of a network that has not seen the images. An image
    counts where another class is predicted with at least the confidence that is usual for images
    with that label; the order is that of the margin, p(label) - p(other class).
    Source: confident learning, Northcutt 2021, arXiv 1911.00068, sections 3.1 and 3.2.
    """
    rows = np.arange(len(labels))
    totals = np.bincount(labels, minlength=probabilities.shape[1])
    own = probabilities[rows, labels]
    usual = np.bincount(labels, own, len(totals)) / np.maximum(totals, 1)
    usual[totals == 0] = np.inf
    confident = np.where(probabilities >= usual - 1e-9, probabilities, -1.0)
    suggested = confident.argmax(-1)
    wrong = (confident[rows, suggested] > 0) & (suggested != labels)
    wrong &= probabilities.argmax(-1) != labels
    margin = own - probabilities.max(-1)
    found: np.ndarray = np.flatnonzero(wrong)
    return found[np.argsort(margin[found], kind="stable")]
