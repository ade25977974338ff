from __future__ import annotations

import numpy as np
import pytest

from mobilenet_tf.data import photographic
from mobilenet_tf.data.augmentation import GREY
from mobilenet_tf.data.photographic import erase, random_resized_crop, trivial_augment
from mobilenet_tf.keras import tf

SEED = tf.constant([3, 4], tf.int32)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    coarse = np.random.RandomState(1).randint(0, 256, (32, 5, 5, 3)).astype(np.uint8)
    return tf.cast(tf.image.resize(coarse, (24, 30)), tf.uint8).numpy()


def test_a_crop_of_everything_changes_nothing(
    images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photographic, "_ASPECT_MAX", 1.0)
    square = images[:, :, :24]
    np.testing.assert_array_equal(random_resized_crop(tf.constant(square), SEED, 1.0, 24), square)


def test_crops_show_a_part_of_the_image_at_the_size_asked_for() -> None:
    rows, columns = np.mgrid[0:40, 0:40].astype(np.uint8)
    ramp = np.stack([rows, columns, rows * 0], -1)[np.newaxis].repeat(200, 0)
    crops = random_resized_crop(tf.constant(ramp), SEED, 0.25, 20).numpy().astype(int)
    assert crops.shape == (200, 20, 20, 3)
    heights = (crops[:, -1, 0, 0] - crops[:, 0, 0, 0] + 2) / 40
    widths = (crops[:, 0, -1, 1] - crops[:, 0, 0, 1] + 2) / 40
    areas = heights * widths
    assert 0.2 < areas.min() < 0.35
    assert areas.max() > 0.9
    assert (np.diff(crops[..., 0], axis=1) >= 0).all()
    assert len({crop.tobytes() for crop in crops}) > 190


def test_trivial_augment_makes_one_change_an_image_and_the_same_for_a_seed(
    images: np.ndarray,
) -> None:
    many = tf.constant(images.repeat(8, axis=0))
    changed = trivial_augment(many, SEED).numpy()
    assert changed.dtype == np.uint8
    assert changed.shape == many.shape
    np.testing.assert_array_equal(changed, trivial_augment(many, SEED))
    same = (changed == many.numpy()).all(axis=(1, 2, 3)).mean()
    assert 1 / 26 < same < 0.3  # one of 13 changes nothing, and others little
    assert len({image.tobytes() for image in changed}) > 150


@pytest.mark.parametrize("operation", range(len(photographic._OPERATIONS)))
@pytest.mark.parametrize("count", [0, 3])
def test_every_operation_takes_any_number_of_images(
    images: np.ndarray, operation: int, count: int
) -> None:
    strengths = tf.constant([-1.0, 0.0, 1.0][:count])[:, None, None, None]
    some = tf.cast(images[:count], tf.float32)
    result = photographic._OPERATIONS[operation](some, strengths)
    assert result.shape == some.shape
    assert np.isfinite(result.numpy()).all()


@pytest.mark.parametrize("operation", [*range(9)])  # geometry and blends do nothing at strength 0
def test_no_strength_is_no_change(images: np.ndarray, operation: int) -> None:
    some = tf.cast(images[:4], tf.float32)
    result = photographic._OPERATIONS[operation](some, tf.zeros((4, 1, 1, 1)))
    np.testing.assert_allclose(result, some, atol=0.51)


def test_erasing_greys_one_rectangle_inside(images: np.ndarray) -> None:
    black = tf.zeros((300, 24, 30, 3), tf.uint8)
    erased = erase(black, SEED, 0.5).numpy()[..., 0]
    assert set(np.unique(erased)) == {0, GREY}
    shares = (erased == GREY).mean(axis=(1, 2))
    assert 0.35 < (shares > 0).mean() < 0.65
    assert shares.max() < 0.4
    for mask in erased[shares > 0] == GREY:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask.sum() == len(rows) * len(columns)
        assert np.ptp(rows) + 1 == len(rows)
    np.testing.assert_array_equal(erase(tf.constant(images), SEED, 0.0), images)
