"""The worst mistakes of a run's int8 file: on test images for the report, else for `mtf try`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mobilenet_tf.data.image import encode_jpeg, encode_png
from mobilenet_tf.data.pipeline import resize_bytes
from mobilenet_tf.data.splits import Split
from mobilenet_tf.data.stored import StoredImages
from mobilenet_tf.evaluation.grad_cam import spotlight
from mobilenet_tf.runs.examples import Example
from mobilenet_tf.runs.results import Mistake

SHOWN = 12
THUMBNAIL_PX = 128


def find_mistakes(
    test: Split,
    classes: Sequence[str],
    probabilities: np.ndarray,
    float_probabilities: np.ndarray,
    float_model: Any,
) -> tuple[Mistake, ...]:
    """Return the test images that a file is surest of and wrong, beside the float network.

    Both probabilities are (N, C). Of photographs, what the float network looked at is shown too.
    """
    predicted = probabilities.argmax(-1)
    wrong = np.flatnonzero(predicted != test.labels)
    worst = wrong[np.argsort(-probabilities[wrong].max(-1), kind="stable")][:SHOWN]
    if not len(worst):
        return ()
    images = resize_bytes(np.asarray(test.images[worst]), float_model.input_shape[1])
    side_px = min(THUMBNAIL_PX, float_model.input_shape[1])
    lit, index = None, None
    if isinstance(test.images, StoredImages):  # of 32 pixels it would show a few blots
        index = test.images.index
        lit = resize_bytes(spotlight(float_model, images, predicted[worst]), side_px)
    small = resize_bytes(images, side_px)
    return tuple(
        Mistake(
            image=index.paths[row] if index else f"test image {row}",
            label=classes[test.labels[row]],
            predicted=classes[predicted[row]],
            confidence=float(probabilities[row].max()),
            float_predicted=classes[float_probabilities[row].argmax()],
            float_confidence=float(float_probabilities[row].max()),
            thumbnail=encode_jpeg(small[place]),
            looked_at=b"" if lit is None else encode_jpeg(lit[place]),
        )
        for place, row in enumerate(worst.tolist())
    )


def find_examples(
    images: np.ndarray, labels: np.ndarray, classes: Sequence[str], probabilities: np.ndarray
) -> tuple[Example, ...]:
    """Return validation images that a file is surest of and wrong, then those it is least sure of.

    The images are uint8 (N, R, R, 3) as the file is given them.
    """
    predicted, confidence = probabilities.argmax(-1), probabilities.max(-1)
    wrong = predicted != labels
    order = np.lexsort((np.where(wrong, -confidence, confidence), ~wrong))[:SHOWN]
    return tuple(
        Example(
            image=encode_png(images[row]),
            label=classes[labels[row]],
            predicted=classes[predicted[row]],
        )
        for row in order.tolist()
    )
