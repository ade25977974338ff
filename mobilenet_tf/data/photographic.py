"""Changes that suit photographs: crops at every scale, TrivialAugment, erased rectangles.

As in `augmentation`: pure functions of images uint8 (B, H, W, 3) and a seed, an int tensor (2,).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mobilenet_tf.data.augmentation import GREY, draw, project, rotation, split_seed, within
from mobilenet_tf.keras import tf

_ASPECT_MAX = 4 / 3
_ERASED_SHARES = (0.02, 1 / 3)
_ERASED_ASPECT_MAX = 10 / 3
_GREY_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601


def random_resized_crop(images: Any, seed: Any, scale: float, size_px: int) -> Any:
    """Cut a rectangle out of each image and resize it to uint8 (B, size, size, 3), bilinear.

    Its area is a share from [scale, 1] of the image's, its aspect from [3/4, 4/3]; what would be
    longer than the image is cut to it (Szegedy et al., arXiv 1409.4842, section 6).
    """
    batch, height, width, _ = images.shape
    unit = draw(seed, (4, batch), 1)
    area = scale + (1.0 - scale) * unit[0]
    aspect = tf.exp((2.0 * unit[1] - 1.0) * math.log(_ASPECT_MAX))
    crop_width = tf.minimum(tf.sqrt(area * aspect), 1.0) * width
    crop_height = tf.minimum(tf.sqrt(area / aspect), 1.0) * height
    left, top = unit[2] * (width - crop_width), unit[3] * (height - crop_height)
    step_x, step_y = crop_width / size_px, crop_height / size_px
    zeros = tf.zeros_like(left)
    # where the centre of the output pixel (x, y) comes from, with half-pixel centres
    start_x, start_y = left + 0.5 * step_x - 0.5, top + 0.5 * step_y - 0.5
    return project(
        images,
        [step_x, zeros, start_x, zeros, step_y, start_y],
        fill_mode="NEAREST",
        size=(size_px, size_px),
    )


def trivial_augment(images: Any, seed: Any) -> Any:
    """Change each image by one of 13 operations at a strength of its own.

    All are equally likely, the strength is uniform up to the widest that leaves things
    recognisable (Mueller and Hutter, arXiv 2103.10158, "TA (Wide)"); what comes into view is grey.
    """
    batch = images.shape[0]
    one, other = split_seed(seed)
    operations = draw(one, (batch,), 0, 0, len(_OPERATIONS))
    strengths = draw(other, (batch,), 0, -1.0, 1.0)
    places = tf.dynamic_partition(tf.range(batch), operations, len(_OPERATIONS))
    changed = []
    for operation, chosen in zip(_OPERATIONS, places, strict=True):
        some = tf.cast(tf.gather(images, chosen), tf.float32)
        result = operation(some, tf.gather(strengths, chosen)[:, None, None, None])
        changed.append(tf.saturate_cast(tf.round(result), tf.uint8))
    return tf.ensure_shape(tf.dynamic_stitch(places, changed), images.shape)


def erase(images: Any, seed: Any, probability: float) -> Any:
    """Grey out a rectangle in each image with a probability.

    Its area is a share from [0.02, 1/3], its aspect from [0.3, 3.3], and it lies inside (Zhong et
    al., arXiv 1708.04896, algorithm 1).
    """
    batch, height, width, _ = images.shape
    unit = draw(seed, (5, batch, 1), 1)
    area = _ERASED_SHARES[0] + (_ERASED_SHARES[1] - _ERASED_SHARES[0]) * unit[0]
    aspect = tf.exp((2.0 * unit[1] - 1.0) * math.log(_ERASED_ASPECT_MAX))
    masks = []
    for length, share, place in (
        (height, tf.sqrt(area / aspect), unit[2]),
        (width, tf.sqrt(area * aspect), unit[3]),
    ):
        size = tf.cast(tf.round(tf.minimum(share, 1.0) * length), tf.int32)
        first = tf.cast(place * tf.cast(length - size + 1, tf.float32), tf.int32)
        masks.append(within(tf.range(length), first, size))  # (B, length)
    square = masks[0][:, :, tf.newaxis] & masks[1][:, tf.newaxis, :]
    square &= (unit[4] < probability)[:, :, tf.newaxis]
    return tf.where(square[..., tf.newaxis], tf.constant(GREY, tf.uint8), images)


def _affine(build: Callable[[Any, Any, Any], list[Any]]) -> Callable[[Any, Any], Any]:
    """Return an operation from build(strength, height, width), the six numbers of a map."""

    def operate(images: Any, strength: Any) -> Any:
        height, width = images.shape[1:3]
        numbers = build(tf.reshape(strength, (-1,)), height, width)
        zeros = tf.zeros_like(tf.reshape(strength, (-1,)))
        return project(
            images, [zeros + n for n in numbers], fill_mode="CONSTANT", size=(height, width)
        )

    return operate


def _grey(images: Any) -> Any:
    return tf.reduce_sum(images * tf.constant(_GREY_WEIGHTS), -1, keepdims=True)


def _blend(reference: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """Return an operation that moves images away from a reference or towards it."""

    def operate(images: Any, strength: Any) -> Any:
        base = reference(images)
        return base + (images - base) * (1.0 + 0.99 * strength)

    return operate


def _blur(images: Any) -> Any:
    kernel = tf.constant([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]]) / 13.0  # as Pillow's
    kernel = tf.tile(kernel[:, :, None, None], (1, 1, 3, 1))
    return tf.nn.depthwise_conv2d(images, kernel, (1, 1, 1, 1), "SAME")


def _posterize(images: Any, strength: Any) -> Any:
    step = 2.0 ** tf.round(tf.abs(strength) * 6.0)  # down to 2 bits of 8
    return tf.floor(images / step) * step


def _solarize(images: Any, strength: Any) -> Any:
    return tf.where(images >= 256.0 * (1.0 - tf.abs(strength)), 255.0 - images, images)


def _auto_contrast(images: Any, _: Any) -> Any:
    low = tf.reduce_min(images, (1, 2), keepdims=True)
    high = tf.reduce_max(images, (1, 2), keepdims=True)
    return tf.where(high > low, (images - low) * 255.0 / tf.maximum(high - low, 1.0), images)


_OPERATIONS: tuple[Callable[[Any, Any], Any], ...] = (
    lambda images, _: images,
    _affine(lambda s, h, w: [1.0, 0.99 * s, -0.99 * s * (h - 1) / 2, 0.0, 1.0, 0.0]),
    _affine(lambda s, h, w: [1.0, 0.0, 0.0, 0.99 * s, 1.0, -0.99 * s * (w - 1) / 2]),
    _affine(lambda s, h, w: [1.0, 0.0, s * w / 7, 0.0, 1.0, 0.0]),  # 32 of 224 px
    _affine(lambda s, h, w: [1.0, 0.0, 0.0, 0.0, 1.0, s * h / 7]),
    _affine(lambda s, h, w: rotation(s * (135 * math.pi / 180), h, w)),
    _blend(lambda images: 0.0),  # brightness
    _blend(_grey),  # colour
    _blend(lambda images: tf.reduce_mean(_grey(images), (1, 2), keepdims=True)),  # contrast
    _blend(_blur),  # sharpness
    _posterize,
    _solarize,
    _auto_contrast,
)
