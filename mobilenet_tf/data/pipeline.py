"""The two steps that every image takes before a model: its size, and its floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilenet_tf.data.augmentation import GREY
from mobilenet_tf.data.image import fit_box
from mobilenet_tf.keras import tf
from mobilenet_tf.recipe import ResizeRule

_RESIZE_CHUNK = 256


def normalise(images: Any) -> Any:
    """Return (byte - 128) / 128 as float32, exactly; a tensor for a tensor, else an array.

    `images` are uint8 of any shape; the result lies in [-1, 127/128].
    """
    if tf.is_tensor(images):
        return (tf.cast(images, tf.float32) - 128.0) * (1.0 / 128.0)
    return (np.asarray(images).astype(np.float32) - np.float32(128)) * np.float32(1 / 128)


def denormalise(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the nearest bytes of what `normalise` returns; of mixed images, within half a step."""
    nearest: NDArray[np.uint8] = np.rint(images * 128 + 128).clip(0, 255).astype(np.uint8)
    return nearest


def resize_bytes(
    images: NDArray[np.uint8], resolution_px: int, rule: ResizeRule = "crop"
) -> NDArray[np.uint8]:
    """Return uint8 (N, H, W, 3) as uint8 (N, resolution, resolution, 3), by a rule of `load_image`.

    Bilinear with half-pixel centres, antialiased when shrinking, rounded to the nearest byte.
    Images that have that size already are returned as they are.
    """
    if images.shape[1:3] == (resolution_px, resolution_px):
        return images
    height, width = images.shape[1:3]
    box = fit_box((width, height), (resolution_px, resolution_px), rule)
    resized = np.full((len(images), resolution_px, resolution_px, 3), GREY, np.uint8)
    inside = resized[:, box.target_rows, box.target_columns]
    for start in range(0, len(images), _RESIZE_CHUNK):
        chunk = images[start : start + _RESIZE_CHUNK, box.rows, box.columns]
        inside[start : start + _RESIZE_CHUNK] = _resize(tf.constant(chunk), inside.shape[1:3])
    return resized


def resize_batch(images: Any, resolution_px: int) -> Any:
    """Return square tensors (B, S, S, 3) as (B, R, R, 3) of the same type, as `resize_bytes`."""
    return _resize(images, (resolution_px, resolution_px))


def _resize(images: Any, size: tuple[int, int]) -> Any:
    if images.shape[1:3] == size:
        return images
    shrinks = any(new < old for new, old in zip(size, images.shape[1:3], strict=True))
    resized = tf.image.resize(images, size, antialias=shrinks)
    return tf.saturate_cast(tf.round(resized), tf.uint8) if images.dtype == tf.uint8 else resized
