from __future__ import annotations

import numpy as np

from mobilenet_tf.data.sources import load_training_split
from mobilenet_tf.data.training import choose_calibration, load_training_data
from mobilenet_tf.recipe import load_recipe


def test_calibration_images_are_drawn_from_training_by_the_seed() -> None:
    train = load_training_split("synthetic")
    one = choose_calibration(train, 40, 32, seed=1)
    assert one.shape == (40, 32, 32, 3)
    np.testing.assert_array_equal(one, choose_calibration(train, 40, 32, seed=1))
    assert not np.array_equal(one, choose_calibration(train, 40, 32, seed=2))
    images = {image.tobytes() for image in train.images}
    assert all(image.tobytes() in images for image in one)
    assert len(choose_calibration(train, 10_000, 32, seed=1)) == len(train)


def test_the_training_data_of_a_recipe_is_told_by_its_fingerprints() -> None:
    recipe = load_recipe("quickstart", ("data.name=synthetic", "data.validation_count=64"))
    found = load_training_data(recipe, None)
    assert found.fingerprints.keys() == {"train", "validation"}
    recipe = load_recipe("quickstart", ("data.name=synthetic", "data.validation_count=0"))
    assert load_training_data(recipe, None).validation is None
