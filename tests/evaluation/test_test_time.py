from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.evaluation.test_time import augment_predictions, count_views
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.recipe import parse_recipe
from mobilenet_tf.runs.folder import RunFolder

RUN = RunFolder(Path("no such run"))


def predict_corner(images: np.ndarray) -> np.ndarray:
    """A classifier that sees only the upper left byte."""
    share = images[:, 0, 0, 0].astype(np.float32) / 255
    return np.stack([share, 1 - share], axis=1)


@pytest.fixture
def corners() -> np.ndarray:
    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[0, 0, 0], image[0, 0, 3], image[0, 3, 0], image[0, 3, 3] = 10, 20, 40, 80
    return image


@pytest.mark.parametrize(
    ("views", "count", "mean"),
    [
        ([], 1, 10),
        (["flip"], 2, (10 + 20) / 2),
        (["rotate"], 4, (10 + 20 + 40 + 80) / 4),
        (["flip", "rotate"], 8, (10 + 20 + 40 + 80) / 4),
    ],
)
def test_probabilities_are_the_mean_over_views(
    corners: np.ndarray, views: list[str], count: int, mean: float
) -> None:
    seen: list[np.ndarray] = []

    def predict(images: np.ndarray) -> np.ndarray:
        seen.append(images.copy())
        return predict_corner(images)

    given = augment_predictions(predict, views)(corners)
    assert given.dtype == np.float32
    np.testing.assert_allclose(given[0], [mean / 255, 1 - mean / 255], rtol=1e-5)
    assert count_views(views) == count == len(seen) == len({image.tobytes() for image in seen})


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (["flop"], "'flop'.*did you mean 'flip'"),
        (["scale"], "flip or rotate"),
        (["flip", "flip"], "names a view twice"),
    ],
)
def test_what_a_file_cannot_be_shown_is_refused(views: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_plan(RUN, recipe(benchmark={"test_time_augmentation": views}))


def recipe(**sections: Any) -> Any:
    return parse_recipe(sections, origin="a test")


def test_recipes_refuse_views_that_show_another_class() -> None:
    make_plan(RUN, recipe(benchmark={"test_time_augmentation": ["flip", "rotate"]}))
    digits = {"data": {"name": "digits", "validation_count": 100}, "augmentation": {"flip": False}}
    with pytest.raises(UsageError, match=r"test_time_augmentation .* digits"):
        make_plan(RUN, recipe(**digits, benchmark={"test_time_augmentation": ["flip"]}))
