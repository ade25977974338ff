from __future__ import annotations

import hashlib
import itertools
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.data.batches import TrainingBatches, calm, ended, steps_per_epoch
from mobilenet_tf.data.pipeline import normalise, resize_bytes
from mobilenet_tf.data.sources import load_training_split
from mobilenet_tf.data.splits import Split
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.keras import tf
from mobilenet_tf.recipe import AugmentationSettings

PLAIN = AugmentationSettings(crop_padding_px=0, flip=False)
EVERYTHING = AugmentationSettings(crop_padding_px=4, flip=True, cutout_px=8, mixup_alpha=0.4)


@pytest.fixture(scope="module")
def split() -> Split:
    return load_training_split("synthetic").take(np.arange(100))


def make_dataset(
    split: Split, settings: AugmentationSettings, first_epoch: int = 0, **changes: Any
) -> Any:
    arguments: dict[str, Any] = {
        "resolution_px": 32,
        "batch_size": 16,
        "class_count": 10,
        "seed": 5,
        "epochs": 3,
    }
    made = TrainingBatches(split=split, augmentation=settings, **{**arguments, **changes})
    return made.from_epoch(first_epoch)


def batches(
    split: Split, settings: AugmentationSettings, first_epoch: int = 0, **changes: Any
) -> list[tuple[np.ndarray, np.ndarray]]:
    dataset = make_dataset(split, settings, first_epoch, **changes)
    return list(dataset.as_numpy_iterator())


def same(left: tuple[np.ndarray, np.ndarray], right: tuple[np.ndarray, np.ndarray]) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize(
    "settings",
    [
        EVERYTHING,
        AugmentationSettings(flip="alternate", cutmix_alpha=1.0, color_jitter=0.4),
        AugmentationSettings(
            random_resized_crop_scale=0.3, trivial_augment=True, erasing_probability=0.5
        ),
    ],
)
def test_a_worker_has_its_part_of_the_batches(settings: AugmentationSettings, split: Split) -> None:
    whole = batches(split, settings, epochs=1)
    for number in (0, 3):
        part = batches(split, settings, epochs=1, part=(number, 4))
        for batch, own in zip(whole, part, strict=True):
            for of_all, values in zip(batch, own, strict=True):
                steps = np.abs(values - of_all[4 * number : 4 * number + 4]) * 128
                assert steps.max() <= 1  # of a byte: exp and sin round by how many they work on
                assert (steps > 0).mean() < 1e-3


class CountedImages:
    """Images on disk that remember how many of them were read."""

    def __init__(self, images: np.ndarray) -> None:
        self.images, self.shape, self.ndim, self.read = images, images.shape, 4, 0
        self.dtype = images.dtype

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.read += len(rows)
        return self.images[rows]


@pytest.mark.parametrize(("settings", "each"), [(PLAIN, 4), (EVERYTHING, 5)])
def test_a_worker_reads_only_its_part(
    settings: AugmentationSettings, each: int, split: Split
) -> None:
    images = CountedImages(split.images)
    counted = Split(images, split.labels)
    assert len(batches(counted, settings, epochs=1, part=(3, 4))) == 6
    assert images.read == 6 * each


def test_an_epoch_shows_every_image_once_with_its_own_label(split: Split) -> None:
    known = {
        normalise(image).tobytes(): int(label)
        for image, label in zip(split.images, split.labels, strict=True)
    }
    shown = batches(split, PLAIN, batch_size=20, epochs=2)
    assert len(shown) == 10
    orders = []
    for epoch in (shown[:5], shown[5:]):
        images = np.concatenate([images for images, _ in epoch])
        targets = np.concatenate([targets for _, targets in epoch])
        keys = [image.tobytes() for image in images]
        assert sorted(keys) == sorted(known)
        np.testing.assert_array_equal(targets, np.eye(10)[[known[key] for key in keys]])
        orders.append(keys)
    assert orders[0] != orders[1]
    assert orders[0] != list(known)


def test_partial_batches_are_dropped_and_the_count_is_known(split: Split) -> None:
    assert steps_per_epoch(100, 16) == 6
    dataset = make_dataset(split, PLAIN)
    assert int(dataset.cardinality()) == 18
    assert len(list(dataset)) == 18
    assert [spec.shape.as_list() for spec in dataset.element_spec] == [[16, 32, 32, 3], [16, 10]]


@pytest.mark.slow
@pytest.mark.parametrize("first_epoch", [1, 2])
def test_resuming_gives_bit_equal_batches(split: Split, first_epoch: int) -> None:
    whole = batches(split, EVERYTHING)
    resumed = batches(split, EVERYTHING, first_epoch=first_epoch)
    assert len(whole) == 18
    assert len(resumed) == 18 - 6 * first_epoch
    assert all(map(same, whole[6 * first_epoch :], resumed))


@pytest.mark.slow
def test_every_batch_and_every_seed_has_its_own_random_numbers() -> None:
    images = np.random.RandomState(3).randint(0, 256, (1, 32, 32, 3)).astype(np.uint8)
    split = Split(images.repeat(160, axis=0), np.zeros(160, np.int64))
    crop = AugmentationSettings(crop_padding_px=4, flip=True)
    shown = [images for seed in (5, 6) for images, _ in batches(split, crop, seed=seed, epochs=2)]
    assert len({images.tobytes() for images in shown}) == 40
    # 81 places times 2 directions: 640 independent draws reach nearly all of the 162 views
    assert len({image.tobytes() for images in shown for image in images}) > 150


def test_the_batches_of_a_seed_are_the_same_for_ever(split: Split) -> None:
    """A recipe's figures stay what they are only if the random streams of its parts do."""
    digest = hashlib.sha256()
    for images, targets in batches(split, AugmentationSettings(cutout_px=8)):
        digest.update(images.tobytes() + targets.tobytes())
    assert digest.hexdigest() == "a832641d0bbd4817b1040d926af8c17d435b9f37a45e8a9f74417cdcab8a51e4"


def mirrored(split: Split, settings: AugmentationSettings, seed: int = 5) -> np.ndarray:
    """Return which images were shown mirrored, bool (epochs, N)."""
    sides = {}
    for i, image in enumerate(normalise(split.images)):
        sides[image.tobytes()] = (i, False)
        sides[image[:, ::-1].tobytes()] = (i, True)
    found = np.zeros((4, len(split)), bool)
    shown = batches(split, settings, batch_size=50, epochs=4, seed=seed)
    for step, (images, _) in enumerate(shown):
        for image in images:
            i, side = sides[image.tobytes()]
            found[step // 2, i] = side
    return found


@pytest.mark.slow
def test_an_alternating_flip_shows_every_image_from_both_sides_in_turns(split: Split) -> None:
    settings = AugmentationSettings(crop_padding_px=0, flip="alternating")
    found = mirrored(split, settings)
    np.testing.assert_array_equal(found[1], ~found[0])
    np.testing.assert_array_equal(found[2:], found[:2])
    assert 30 < found[0].sum() < 70
    assert (mirrored(split, settings, seed=6)[0] != found[0]).any()
    by_chance = mirrored(split, AugmentationSettings(crop_padding_px=0, flip=True))
    assert (by_chance[1] == by_chance[0]).any()


@pytest.mark.slow
def test_strong_augmentation_ends_after_its_share_of_the_epochs(split: Split) -> None:
    strong = AugmentationSettings(crop_padding_px=2, flip="alternating", cutout_px=8)
    ending = AugmentationSettings(
        crop_padding_px=2, flip="alternating", cutout_px=8, strong_share=0.6
    )
    mild = AugmentationSettings(crop_padding_px=2, flip="alternating")
    assert calm(ending) == calm(strong) == ended(ending) == mild
    assert ended(strong) == strong
    found = batches(split, ending)  # 3 epochs of 6 batches; the third begins at 0.67
    assert all(map(same, found[:12], batches(split, strong)[:12]))
    assert all(map(same, found[12:], batches(split, mild)[12:]))
    assert all(map(same, found[12:], batches(split, ending, first_epoch=2)))


@pytest.mark.slow
def test_mixup_and_cutmix_together_take_turns_by_a_coin(split: Split) -> None:
    settings = AugmentationSettings(
        crop_padding_px=0, flip=False, mixup_alpha=1.0, cutmix_alpha=1.0
    )
    values = set(normalise(split.images).ravel().tolist())
    pasted = [set(images.ravel().tolist()) <= values for images, _ in batches(split, settings)]
    assert 3 <= sum(pasted) <= 15  # of 18; a blend has values that no byte has


@pytest.mark.slow
def test_global_seeds_and_determinism_change_nothing(split: Split) -> None:
    tf.random.set_seed(1)
    once = batches(split, EVERYTHING, epochs=1)
    tf.random.set_seed(2)
    assert all(map(same, once, batches(split, EVERYTHING, epochs=1)))


@pytest.mark.parametrize(
    ("part", "alone"),
    [
        ("crop", AugmentationSettings(crop_padding_px=4, flip=False)),
        ("flip", AugmentationSettings(crop_padding_px=0, flip=True)),
        ("cutout", AugmentationSettings(crop_padding_px=0, flip=False, cutout_px=8)),
        ("mixup", AugmentationSettings(crop_padding_px=0, flip=False, mixup_alpha=1.0)),
        ("cutmix", AugmentationSettings(crop_padding_px=0, flip=False, cutmix_alpha=1.0)),
    ],
)
def test_each_setting_reaches_the_batches(
    split: Split, part: str, alone: AugmentationSettings
) -> None:
    plain = batches(split, PLAIN, epochs=1)
    changed = batches(split, alone, epochs=1)
    for (images, targets), (other_images, other_targets) in zip(plain, changed, strict=True):
        assert (images != other_images).any()
        assert (targets != other_targets).any() == (part in ("mixup", "cutmix"))
    greys = [np.mean((images == 0).all(axis=-1)) for images, _ in changed]
    assert (np.mean(greys) > 0.03) == (part == "cutout")  # 8x8 of 32x32 is 1/16, less at edges


@pytest.mark.parametrize("resolution_px", [24, 32, 40])
def test_training_and_evaluation_resize_alike(split: Split, resolution_px: int) -> None:
    resized = normalise(resize_bytes(split.images, resolution_px))
    assert resized.shape == (100, resolution_px, resolution_px, 3)
    known = {image.tobytes() for image in resized}
    shown = batches(split, PLAIN, resolution_px=resolution_px, batch_size=100, epochs=1)[0][0]
    assert {image.tobytes() for image in shown} == known


def test_a_batch_larger_than_the_split_is_refused(split: Split) -> None:
    with pytest.raises(UsageError, match="batch size 101 is larger than the 100 training images"):
        batches(split, PLAIN, batch_size=101)


def test_a_padding_larger_than_the_image_is_refused(split: Split) -> None:
    with pytest.raises(UsageError, match="crop padding of 32 px"):
        batches(split, AugmentationSettings(crop_padding_px=32))


def test_labels_outside_the_classes_are_refused(split: Split) -> None:
    with pytest.raises(MtfError, match=r"label \d, outside the classes 0\.\.2"):
        batches(split, PLAIN, class_count=3)


def test_iteration_can_stop_early_and_start_again(split: Split) -> None:
    dataset = make_dataset(split, EVERYTHING)
    once = list(itertools.islice(dataset.as_numpy_iterator(), 2))
    assert all(map(same, once, itertools.islice(dataset.as_numpy_iterator(), 2)))
