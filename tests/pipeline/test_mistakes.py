"""Which images a run keeps for looking at."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from mobilenet_tf.pipeline.mistakes import find_examples


def test_examples_are_the_surest_mistakes_then_what_is_least_sure() -> None:
    images = np.arange(4 * 2 * 2 * 3, dtype=np.uint8).reshape(4, 2, 2, 3)
    labels = np.array([0, 1, 0, 1])
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.8, 0.2]])
    found = find_examples(images, labels, ("a", "b"), probabilities)
    assert [(each.label, each.predicted) for each in found] == [
        ("b", "a"),  # 0.8
        ("b", "a"),  # 0.6
        ("a", "a"),  # right, 0.6
        ("a", "a"),
    ]
    given = [np.asarray(Image.open(io.BytesIO(each.image))) for each in found]
    np.testing.assert_array_equal(given, images[[3, 1, 2, 0]])
