from __future__ import annotations

import numpy as np
import pytest

from mobilenet_tf.data import augmentation
from mobilenet_tf.errors import UsageError
from mobilenet_tf.keras import tf

SEED = (7, 11)
HEIGHT, WIDTH = 8, 10


@pytest.fixture
def images() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (200, HEIGHT, WIDTH, 3)).astype(np.uint8)


def crops(image: np.ndarray, padding: int) -> dict[bytes, tuple[int, int]]:
    """Every crop of the image padded by numpy's reflection, and where it was taken."""
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)), mode="reflect")
    return {
        padded[y : y + HEIGHT, x : x + WIDTH].tobytes(): (y, x)
        for y in range(2 * padding + 1)
        for x in range(2 * padding + 1)
    }


@pytest.mark.parametrize("padding", [1, 3, HEIGHT - 2])
def test_crops_are_those_of_the_image_padded_by_reflection(
    images: np.ndarray, padding: int
) -> None:
    cropped = augmentation.crop_with_reflection(tf.constant(images), SEED, padding).numpy()
    assert cropped.dtype == np.uint8
    places = [
        crops(image, padding)[crop.tobytes()] for image, crop in zip(images, cropped, strict=True)
    ]
    for axis in (0, 1):  # every offset occurs, and the two directions are independent
        assert {place[axis] for place in places} == set(range(2 * padding + 1))
    assert len(set(places)) > 2 * padding + 1


def test_crop_refuses_a_padding_as_large_as_the_image(images: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"8 px .* 10x8; choose 0 to 7"):
        augmentation.crop_with_reflection(tf.constant(images), SEED, HEIGHT)


def test_flip_mirrors_the_chosen_images_and_a_coin_is_fair(images: np.ndarray) -> None:
    chosen = augmentation.toss_coins(len(images), SEED)
    assert 70 < chosen.numpy().sum() < 130
    flipped = augmentation.flip_horizontally(tf.constant(images), chosen).numpy()
    np.testing.assert_array_equal(flipped[chosen], images[chosen.numpy()][:, :, ::-1])
    np.testing.assert_array_equal(flipped[~chosen], images[~chosen.numpy()])


@pytest.mark.parametrize("size", [1, 3, 4])
def test_cutout_greys_one_square_and_nothing_else(size: int) -> None:
    images = np.zeros((500, HEIGHT, WIDTH, 3), np.uint8)
    changed = augmentation.cut_out(tf.constant(images), SEED, size).numpy()
    assert set(np.unique(changed)) == {0, 128}
    corners = set()
    for image in changed:
        rows = np.flatnonzero((image == 128).any(axis=(1, 2)))
        columns = np.flatnonzero((image == 128).any(axis=(0, 2)))
        square = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (square == 128).all()
        assert 1 <= len(rows) <= size
        assert 1 <= len(columns) <= size
        assert len(rows) == size or rows[0] == 0 or rows[-1] == HEIGHT - 1
        assert len(columns) == size or columns[0] == 0 or columns[-1] == WIDTH - 1
        corners.add((rows[-1], columns[-1]))
    # the centre may be any pixel: with 500 draws of 80 places, hardly one is missing
    assert len(corners) > 0.9 * (HEIGHT - max(0, size - 1 - size // 2)) * (
        WIDTH - max(0, size - 1 - size // 2)
    )


def test_mixup_blends_images_and_targets_with_one_weight() -> None:
    images = np.random.RandomState(1).rand(6, 2, 2, 3).astype(np.float32)
    targets = np.eye(6, dtype=np.float32)
    mixed, blended = augmentation.mix_up(tf.constant(images), tf.constant(targets), SEED, 1.0)
    weight = float(blended[0, 0])
    assert 0.01 < weight < 0.99
    np.testing.assert_allclose(blended, weight * targets + (1 - weight) * np.roll(targets, 1, 0))
    np.testing.assert_allclose(
        mixed, weight * images + (1 - weight) * np.roll(images, 1, 0), rtol=1e-6
    )


def test_cutmix_pastes_one_rectangle_and_weighs_targets_by_its_area() -> None:
    images = np.arange(6, dtype=np.float32).repeat(8 * 10 * 3).reshape(6, 8, 10, 3)
    targets = np.eye(6, dtype=np.float32)
    shares = []
    for seed in range(60):
        mixed, blended = augmentation.cut_mix(
            tf.constant(images), tf.constant(targets), (7, seed), 1.0
        )
        pasted = (mixed.numpy() != images).all(-1)  # (B, H, W)
        assert (pasted == pasted[0]).all()
        rows, columns = np.flatnonzero(pasted[0].any(1)), np.flatnonzero(pasted[0].any(0))
        assert pasted[0].sum() == len(rows) * len(columns)  # a rectangle, without holes
        neighbours = np.roll(images, 1, axis=0)
        np.testing.assert_array_equal(mixed.numpy()[pasted], neighbours[pasted])
        share = pasted[0].mean()
        np.testing.assert_allclose(
            blended, (1 - share) * targets + share * np.roll(targets, 1, 0), atol=1e-6
        )
        shares.append(share)
    assert min(shares) < 0.1
    assert max(shares) > 0.6


@pytest.mark.parametrize(("alpha", "variance"), [(0.01, 0.245), (0.2, 0.1786), (1.0, 1 / 12)])
def test_mixup_weights_follow_the_beta_distribution(alpha: float, variance: float) -> None:
    sample = tf.function(
        lambda step: augmentation._sample_symmetric_beta(tf.stack([step, 3]), alpha)
    )
    weights = np.array([sample(tf.constant(step)) for step in range(2000)])
    assert np.isfinite(weights).all()
    assert weights.min() >= 0
    assert weights.max() <= 1
    assert weights.mean() == pytest.approx(0.5, abs=0.04)
    assert weights.var() == pytest.approx(variance, abs=0.012)


@pytest.mark.parametrize("change", ["crop", "flip", "cutout"])
def test_changes_depend_on_the_seed_alone(images: np.ndarray, change: str) -> None:
    function = {
        "crop": lambda batch, seed: augmentation.crop_with_reflection(batch, seed, 3),
        "flip": lambda batch, seed: augmentation.flip_horizontally(
            batch, augmentation.toss_coins(len(batch), seed)
        ),
        "cutout": lambda batch, seed: augmentation.cut_out(batch, seed, 3),
    }[change]
    tf.random.set_seed(1)
    once = function(tf.constant(images), SEED).numpy()
    tf.random.set_seed(2)
    np.testing.assert_array_equal(once, function(tf.constant(images), SEED).numpy())
    assert (once != function(tf.constant(images), (7, 12)).numpy()).any()


def test_a_turn_of_nothing_and_a_move_of_nothing_change_nothing(images: np.ndarray) -> None:
    warped = augmentation.warp(tf.constant(images), SEED, 0.0, 0.0).numpy()
    assert warped.dtype == np.uint8
    np.testing.assert_array_equal(warped, images)


def test_images_turn_about_their_centre_both_ways() -> None:
    side = 33
    image = np.zeros((1, side, side, 3), np.uint8)
    image[:, 15:18] = 255  # a horizontal bar through the centre
    batch = tf.constant(np.repeat(image, 64, axis=0))
    turned = augmentation.warp(batch, SEED, 15.0, 0.0).numpy().astype(float)[..., 0]
    assert (turned[:, 16, 16] > 250).all()
    rows = np.arange(side)
    left = (turned[:, :, 2] * rows[None]).sum(1) / turned[:, :, 2].sum(1)
    right = (turned[:, :, -3] * rows[None]).sum(1) / turned[:, :, -3].sum(1)
    np.testing.assert_allclose(left + right, 2 * 16, atol=0.5)  # one end rises as the other falls
    degrees = np.degrees(np.arctan2(right - left, side - 5))
    assert degrees.min() < -8
    assert degrees.max() > 8
    assert np.abs(degrees).max() < 15.5


def test_images_move_by_a_share_of_their_sides() -> None:
    image = np.zeros((1, 20, 20, 3), np.uint8)
    image[:, 9:11, 9:11] = 255
    batch = tf.constant(np.repeat(image, 200, axis=0))
    moved = augmentation.warp(batch, SEED, 0.0, 0.2).numpy().astype(float)[..., 0]
    for axis in (1, 2):
        weights = moved.sum(3 - axis)
        places = (weights * np.arange(20)).sum(1) / weights.sum(1) - 9.5
        assert np.abs(places).max() <= 4.1
        assert places.min() < -3
        assert places.max() > 3


def test_colors_change_within_their_strength(images: np.ndarray) -> None:
    grey = np.full((300, 4, 4, 3), 100, np.uint8)
    jittered = augmentation.jitter_colors(tf.constant(grey), SEED, 0.3).numpy()
    assert (jittered == jittered[:, :1, :1, :1]).all()  # grey stays grey, and even
    values = jittered[:, 0, 0, 0]
    assert 69 <= values.min() < 75
    assert 125 < values.max() <= 131
    changed = augmentation.jitter_colors(tf.constant(images), SEED, 0.3).numpy()
    assert len({bytes(image) for image in changed}) == len(images)
    unchanged = augmentation.jitter_colors(tf.constant(images), SEED, 0.0).numpy()
    assert np.abs(unchanged.astype(int) - images).max() <= 1


@pytest.mark.parametrize("change", ["warp", "jitter"])
def test_the_seed_alone_decides_turns_and_colors(images: np.ndarray, change: str) -> None:
    def run(seed: tuple[int, int]) -> np.ndarray:
        batch = tf.constant(images)
        if change == "warp":
            return augmentation.warp(batch, seed, 15.0, 0.1).numpy()
        return augmentation.jitter_colors(batch, seed, 0.2).numpy()

    np.testing.assert_array_equal(run(SEED), run(SEED))
    assert not np.array_equal(run(SEED), run((7, 12)))
