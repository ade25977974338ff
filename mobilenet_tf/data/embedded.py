"""Images that need no download: scikit-learn's handwritten digits and generated shapes.

Both are made with whole-number arithmetic and a random stream that never changes, so their
fingerprints are equal on every machine.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mobilenet_tf.data.catalog import dataset_info
from mobilenet_tf.data.splits import Split, hold_out_validation

_DIGITS_SPLIT_SEED = 1797  # fixed: every run, whatever its seed, is tested on the same digits
_SYNTHETIC_SEED = 2017


@lru_cache(maxsize=1)
def load_digits() -> tuple[Split, Split]:
    """Return (train, test) of the handwritten digits, 1,437 and 360 images of 32x32x3.

    The 8x8 originals with 17 grey levels (UCI "Optical Recognition of Handwritten Digits", the
    part in scikit-learn) are enlarged four times, bilinear with half-pixel centres, and repeated
    in the three channels. Test holds the ten classes in proportion.
    """
    from sklearn import datasets

    digits = datasets.load_digits()
    levels = digits.images.astype(np.int64)  # (1797, 8, 8), 0..16
    weights = _bilinear_weights(8, 4)  # (32, 8), eighths
    enlarged = weights @ levels @ weights.T  # (1797, 32, 32), 0..16 * 64
    grey = ((enlarged * 255 + 512) // 1024).astype(np.uint8)
    images = np.repeat(grey[..., np.newaxis], 3, axis=3)
    everything = Split(images, digits.target.astype(np.int64))
    return hold_out_validation(everything, dataset_info("digits").test_count, _DIGITS_SPLIT_SEED)


def _bilinear_weights(size_px: int, factor: int) -> NDArray[np.int64]:
    """Return the (size * factor, size) matrix of bilinear weights, in units of 1 / (2 * factor)."""
    weights = np.zeros((size_px * factor, size_px), np.int64)
    unit = 2 * factor
    for target in range(size_px * factor):
        # source position of the target pixel's centre, in 1 / (2 * factor) source pixels
        position = (2 * target + 1) - factor
        left, part = divmod(position, unit)
        weights[target, max(left, 0)] += unit - part
        weights[target, min(left + 1, size_px - 1)] += part
    return weights


_COLOURS = np.array(
    [(220, 40, 40), (225, 205, 40), (40, 180, 60), (50, 80, 225), (235, 235, 235)], np.int64
)


@lru_cache(maxsize=1)
def load_synthetic() -> tuple[Split, Split]:
    """Return (train, test) of generated shapes, 512 and 128 images of 32x32x3.

    A class is a colour (label // 2) and a shape (label % 2: disc or stripes) of varying place,
    size, brightness and background, under noise. Labels repeat 0..9, so all splits are balanced.
    """
    info = dataset_info("synthetic")
    count = info.train_count + info.test_count
    random = np.random.RandomState(_SYNTHETIC_SEED)
    labels = np.arange(count, dtype=np.int64) % info.class_count
    side = info.image_shape[0]
    rows, columns = np.arange(side)[:, np.newaxis], np.arange(side)[np.newaxis, :]
    images = np.empty((count, *info.image_shape), np.uint8)
    for index, label in enumerate(labels):
        if label % 2 == 0:
            centre_y, centre_x = random.randint(10, side - 10, 2)
            inside = (rows - centre_y) ** 2 + (columns - centre_x) ** 2 < random.randint(7, 13) ** 2
        else:
            width_px, phase_px = random.randint(3, 6), random.randint(0, 12)
            inside = np.broadcast_to((rows + phase_px) // width_px % 2 == 0, (side, side))
        colour = _COLOURS[label // 2] * random.randint(80, 109) // 100
        background = random.randint(10, 61)  # a dark grey
        image = np.where(inside[..., np.newaxis], colour, background)
        noise = random.randint(-20, 21, image.shape)
        images[index] = np.clip(image + noise, 0, 255)
    split = info.train_count
    return Split(images[:split], labels[:split]), Split(images[split:], labels[split:])
