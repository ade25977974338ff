from __future__ import annotations

import numpy as np
import pytest

from mobilenet_tf.data.splits import (
    Split,
    check_labels,
    fingerprint,
    hold_out_validation,
    largest_remainders,
)
from mobilenet_tf.errors import MtfError, UsageError


def make_split(labels: list[int]) -> Split:
    """Images that say in their first byte which they are."""
    images = np.zeros((len(labels), 2, 2, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels))
    return Split(images, np.array(labels, np.int64))


def images(split: Split) -> list[int]:
    return split.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("count", [3, 7, 10, 31])
def test_hold_out_is_exact_stratified_and_complete(count: int) -> None:
    split = make_split([0] * 50 + [1] * 30 + [2] * 20)
    train, validation = hold_out_validation(split, count, seed=3)
    assert len(validation) == count
    assert sorted(images(train) + images(validation)) == list(range(100))
    shares = np.bincount(validation.labels, minlength=3)
    np.testing.assert_array_less(np.abs(shares - count * np.array([0.5, 0.3, 0.2])), 1)
    for part in (train, validation):  # the images kept their labels, and their order
        assert images(part) == sorted(images(part))
        np.testing.assert_array_equal(part.labels, split.labels[images(part)])


def test_hold_out_depends_on_the_seed_and_on_nothing_else() -> None:
    split = make_split([0, 1] * 50)
    once, again, other = (images(hold_out_validation(split, 20, seed)[1]) for seed in (1, 1, 2))
    assert once == again != other


def test_hold_out_never_changes_between_machines_and_numpy_versions() -> None:
    held_out = images(hold_out_validation(make_split([0, 1] * 10), 6, seed=1)[1])
    assert held_out == [4, 7, 11, 12, 18, 19]


def test_largest_remainders_give_the_rest_to_the_largest_then_to_the_first() -> None:
    assert largest_remainders(7, np.array([50, 30, 20])).tolist() == [4, 2, 1]
    assert largest_remainders(4, np.array([10, 10, 10])).tolist() == [2, 1, 1]


def test_no_validation_keeps_every_image_for_training() -> None:
    split = make_split([0, 1, 2])
    train, validation = hold_out_validation(split, 0, seed=1)
    assert (train, len(validation)) == (split, 0)


@pytest.mark.parametrize(
    ("labels", "count", "message"),
    [
        ([0, 1] * 5, 10, "cannot hold out 10 of 10 training images"),
        ([0, 1] * 5, -1, "cannot hold out -1 of 10"),
        ([0, 1] * 5, 9, r"leaves class 0 \(5 images\) without any for training"),
        ([0] * 9 + [1], 3, r"leaves class 1 \(1 images\) without any for validation"),
    ],
)
def test_hold_out_refuses_what_leaves_a_class_empty(
    labels: list[int], count: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        hold_out_validation(make_split(labels), count, seed=1)


def test_fingerprint_sees_one_bit_a_label_the_order_and_the_shape() -> None:
    split = make_split([0, 1, 2, 1])
    flipped_bit = split.images.copy()
    flipped_bit[3, 1, 1, 2] ^= 1
    others = [
        Split(flipped_bit, split.labels),
        Split(split.images, split.labels[::-1].copy()),
        split.take(np.array([1, 0, 2, 3])),
        Split(split.images.reshape(4, 4, 1, 3), split.labels),
        split.take(np.arange(3)),
    ]
    digests = [fingerprint(other) for other in [split, *others]]
    assert len(set(digests)) == len(digests)
    assert digests[0] == fingerprint(make_split([0, 1, 2, 1]))


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_outside_the_classes_is_named(label: int) -> None:
    with pytest.raises(MtfError, match=rf"toys: image 2 has label {label}, outside .* 0\.\.2"):
        check_labels(make_split([0, 1, label, 2, label]), 3, "toys")
    assert len(check_labels(make_split([0, 2]), 3, "toys")) == 2


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 4, 4, 3), np.float32), np.zeros(2, np.int64)),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3, np.int64)),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2, np.int32)),
    ],
)
def test_a_split_refuses_other_arrays(images: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(MtfError, match="must be"):
        Split(images, labels)
