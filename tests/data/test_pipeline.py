from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilenet_tf.data.image import load_image
from mobilenet_tf.data.pipeline import denormalise, normalise, resize_bytes
from mobilenet_tf.keras import tf
from mobilenet_tf.recipe import RESIZE_RULES


def test_normalisation_maps_bytes_exactly() -> None:
    every_byte = np.arange(256, dtype=np.uint8)
    expected = (np.arange(256) - 128) / 128
    for result in (normalise(every_byte), normalise(tf.constant(every_byte)).numpy()):
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(denormalise(normalise(every_byte)), every_byte)
    between = np.float32([-1.1, -1 + 0.4 / 128, 1.1])  # mixed or recoloured images
    assert denormalise(between).tolist() == [0, 0, 255]


def test_resizing_is_bilinear_antialiased_and_rounded() -> None:
    # stripes of 2 in 4 pixels: sampling every fourth pixel's surroundings alone would see white
    stripes = np.tile(np.array([0, 255, 255, 0], np.uint8), 8)
    image = np.broadcast_to(stripes[:, np.newaxis], (1, 32, 32, 3)).copy()
    small = resize_bytes(image, 8)
    assert small.dtype == np.uint8
    assert np.abs(small[:, :, 2:-2].astype(int) - 128).max() <= 20
    flat = np.full((300, 32, 32, 3), 77, np.uint8)  # more than one chunk
    for side in (16, 31, 33, 64):
        np.testing.assert_array_equal(resize_bytes(flat, side), np.full((300, side, side, 3), 77))
    ramp = np.zeros((1, 2, 2, 3), np.uint8)
    ramp[:, :, 1] = 255
    assert resize_bytes(ramp, 4)[0, 0, :, 0].tolist() == [0, 64, 191, 255]
    assert resize_bytes(image, 32) is image


@pytest.mark.parametrize("size", [(24, 37), (37, 24), (5, 9)])
def test_arrays_are_resized_by_the_rule_of_files(size: tuple[int, int], tmp_path: Path) -> None:
    coarse = np.random.RandomState(2).randint(0, 256, (4, 4, 3)).astype(np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    image.save(tmp_path / "a.png")
    for rule in RESIZE_RULES:
        resized = resize_bytes(np.asarray(image)[None], 16, rule)[0]
        loaded = load_image(tmp_path / "a.png", 16, 16, rule)
        assert np.abs(resized.astype(int) - loaded).max() <= 2  # Pillow rounds twice
