from __future__ import annotations

from mobilenet_tf.pipeline.export import COMPARED_COUNT, spread


def test_images_that_are_compared_are_of_the_whole_split() -> None:
    rows = spread(7 * COMPARED_COUNT)
    assert (len(set(rows)), rows[0], rows[-1]) == (COMPARED_COUNT, 0, 7 * COMPARED_COUNT - 1)
    assert list(spread(5)) == [0, 1, 2, 3, 4]
