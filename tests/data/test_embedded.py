from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits as load_originals

from mobilenet_tf.data import embedded
from mobilenet_tf.data.catalog import dataset_info
from mobilenet_tf.data.sources import load_test_split, load_training_split
from mobilenet_tf.data.splits import Split, fingerprint, hold_out_validation
from mobilenet_tf.keras import tf

FINGERPRINTS = {
    ("digits", "train"): "bc23e377f933a2550d46b808e0b0fad878fac9da057744694252f5cc6c47ff4a",
    ("digits", "test"): "ff37a9ccbeda3559930c02891a5f0819462a05a60e1417646c3b395259cdccc6",
    ("synthetic", "train"): "93fef879540732307402eaa0fe648c05a12101d97fc916e7aa549ecf279c999c",
    ("synthetic", "test"): "ac1e43d40aadaea6fc1a7ca2bc836e86f35a381007257cb8a5fed1d2a7012bb4",
}


@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_embedded_images_are_the_same_on_every_machine(name: str) -> None:
    train, test = load_training_split(name), load_test_split(name)
    info = dataset_info(name)
    assert (len(train), len(test)) == (info.train_count, info.test_count)
    assert train.images.shape[1:] == test.images.shape[1:] == info.image_shape
    assert set(train.labels) == set(test.labels) == set(range(info.class_count))
    assert fingerprint(train) == FINGERPRINTS[name, "train"]
    assert fingerprint(test) == FINGERPRINTS[name, "test"]


@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_no_image_is_in_training_and_test(name: str) -> None:
    train, test = load_training_split(name), load_test_split(name)
    seen = {image.tobytes() for image in train.images}
    assert not seen & {image.tobytes() for image in test.images}


def test_digits_are_the_originals_enlarged() -> None:
    originals = load_originals()
    grey = tf.constant(originals.images[..., np.newaxis] * 255 / 16, tf.float32)
    enlarged = tf.image.resize(grey, (32, 32)).numpy()
    rounded = np.round(enlarged).astype(np.uint8).repeat(3, axis=3)
    expected = hold_out_validation(
        Split(rounded, originals.target.astype(np.int64)), 360, embedded._DIGITS_SPLIT_SEED
    )
    for part, reference in zip(embedded.load_digits(), expected, strict=True):
        np.testing.assert_array_equal(part.labels, reference.labels)
        difference = part.images.astype(int) - reference.images  # rounding of exact halves
        assert np.abs(difference).max() <= 1
        assert np.abs(difference).mean() < 0.02
    assert np.bincount(expected[1].labels).tolist() == [36, 37, 35, 37, 36, 36, 36, 36, 35, 36]


def accuracy_of_class_means(train: Split, test: Split) -> float:
    classes = range(int(train.labels.max()) + 1)
    means = np.stack(
        [train.images[train.labels == label].mean(axis=0).ravel() for label in classes]
    )
    pixels = test.images.reshape(len(test), 1, -1).astype(np.float64)
    return float(np.mean(((pixels - means) ** 2).sum(axis=-1).argmin(axis=1) == test.labels))


def test_the_generated_classes_can_be_learned() -> None:
    train, test = load_training_split("synthetic"), load_test_split("synthetic")
    assert accuracy_of_class_means(train, test) > 0.8
    wrong = Split(train.images, np.roll(train.labels, 1))
    assert accuracy_of_class_means(wrong, test) < 0.3
