"""Changes to whole training batches, each a pure function of the batch and a seed.

All work on images uint8 (B, H, W, 3), mixup and CutMix on normalised ones; `seed` is an int tensor
(2,) for TensorFlow's stateless random functions, or a `PartSeed` of it. The shapes must be known
when the graph is built.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from mobilenet_tf.errors import UsageError
from mobilenet_tf.keras import tf

GREY = 128  # the byte that normalisation makes 0


class PartSeed(NamedTuple):
    """The seed of a batch for some of its images, which draw what they would in the whole batch.

    `places` are theirs, int32 (B,), among the `size` of the batch.
    """

    seed: Any
    size: int
    places: Any

    def replace(self, seed: Any) -> PartSeed:
        """Return another seed for the same images."""
        return self._replace(seed=seed)

    def fold_in(self, number: int) -> PartSeed:
        """Return the seed for one of several purposes."""
        return self.replace(tf.random.fold_in(self.seed, number, alg="philox"))


def draw(seed: Any, shape: tuple[int, ...], axis: int, *limits: Any) -> Any:
    """Return uniform random numbers for images, which are along one axis of the shape.

    `limits`, 0 and 1 unless given, are two numbers: whole ones draw int32, others float32.
    """
    low, high = limits or (0.0, 1.0)
    dtype, part = tf.int32 if isinstance(low, int) else tf.float32, isinstance(seed, PartSeed)
    if part:
        shape = (*shape[:axis], seed.size, *shape[axis + 1 :])
    drawn = tf.random.stateless_uniform(
        shape, seed.seed if part else seed, low, high, dtype=dtype, alg="philox"
    )
    return tf.gather(drawn, seed.places, axis=axis) if part else drawn


def split_seed(seed: Any) -> tuple[Any, Any]:
    """Return two seeds made of one."""
    if isinstance(seed, PartSeed):
        one, other = map(seed.replace, split_seed(seed.seed))
        return one, other
    one, other = tf.unstack(tf.random.split(seed, 2, alg="philox"))
    return one, other


def crop_with_reflection(images: Any, seed: Any, padding_px: int) -> Any:
    """Shift each image by up to `padding_px` in both directions, mirrored at its edges.

    The same as padding by reflection (the edge itself is not repeated) and cropping at random.

    Raises:
        UsageError: the padding is not smaller than the image.
    """
    batch, height, width, _ = images.shape
    if padding_px >= min(height, width):
        raise UsageError(
            f"crop padding of {padding_px} px needs images larger than that, and these are"
            f" {width}x{height}; choose 0 to {min(height, width) - 1}"
        )
    offsets = draw(seed, (batch, 2, 1), 0, -padding_px, padding_px + 1)
    rows = _reflect(tf.range(height) + offsets[:, 0], height)  # (B, H)
    columns = _reflect(tf.range(width) + offsets[:, 1], width)  # (B, W)
    return _gather_pixels(images, rows, columns)


def flip_horizontally(images: Any, chosen: Any) -> Any:
    """Mirror the images that are `chosen`, a bool tensor (B,), left for right."""
    mask = chosen[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return tf.where(mask, tf.reverse(images, axis=[2]), images)


def toss_coins(count: int, seed: Any) -> Any:
    """Return `count` fair coins, a bool tensor (count,)."""
    return draw(seed, (count,), 0, 0, 2) == 1


def cut_out(images: Any, seed: Any, size_px: int) -> Any:
    """Grey out one square of `size_px` in each image.

    Its centre is any pixel, so that part of the square may lie outside (DeVries and Taylor,
    arXiv 1708.04552, section 3.2).
    """
    batch, height, width, _ = images.shape
    unit = draw(seed, (batch, 2, 1), 0)
    sides = tf.constant([[height], [width]], tf.float32)
    first = tf.cast(unit * sides, tf.int32) - size_px // 2  # (B, 2, 1), may be negative
    rows = within(tf.range(height), first[:, 0], size_px)  # (B, H)
    columns = within(tf.range(width), first[:, 1], size_px)  # (B, W)
    square = rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :]
    return tf.where(square[..., tf.newaxis], tf.constant(GREY, tf.uint8), images)


def warp(images: Any, seed: Any, rotation_degrees: float, translation_share: float) -> Any:
    """Turn each image by up to `rotation_degrees`, and move it by up to a share of its sides.

    Both ways and about its centre, bilinear; what comes into view is the image mirrored at its
    edges.
    """
    batch, height, width, _ = images.shape
    unit = draw(seed, (3, batch), 1, -1.0, 1.0)
    angle = unit[0] * (rotation_degrees * math.pi / 180)
    turn = rotation(angle, height, width)
    turn[2] += unit[1] * (translation_share * width)
    turn[5] += unit[2] * (translation_share * height)
    return project(images, turn, fill_mode="REFLECT", size=(height, width))


def rotation(angle: Any, height: int, width: int) -> list[Any]:
    """Return the six numbers of a turn about the centre, from output to input pixels."""
    cos, sin = tf.cos(angle), tf.sin(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    return [cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y]


def project(images: Any, transform: list[Any], *, fill_mode: str, size: tuple[int, int]) -> Any:
    """Return images uint8 seen through affine maps from output to input, six (B,) each."""
    zeros = tf.zeros_like(transform[0])
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack([*transform, zeros, zeros], axis=1),
        output_shape=tf.constant(size),
        fill_value=float(GREY),
        interpolation="BILINEAR",
        fill_mode=fill_mode,
    )
    return tf.saturate_cast(tf.round(moved), tf.uint8)


def jitter_colors(images: Any, seed: Any, strength: float) -> Any:
    """Change brightness, contrast and saturation of each image by up to a share of `strength`.

    Each by a factor of its own from [1 - strength, 1 + strength], in this order: of all values, of
    the distance to the image's mean grey, of the distance to each pixel's grey (ITU-R BT.601).
    """
    batch = images.shape[0]
    factors = draw(seed, (3, batch, 1, 1, 1), 1, 1.0 - strength, 1.0 + strength)
    bright = tf.minimum(tf.cast(images, tf.float32) * factors[0], 255.0)
    weights = tf.constant([0.299, 0.587, 0.114])
    mean = tf.reduce_mean(tf.reduce_sum(bright * weights, -1, keepdims=True), (1, 2), keepdims=True)
    contrasted = tf.clip_by_value(mean + (bright - mean) * factors[1], 0.0, 255.0)
    grey = tf.reduce_sum(contrasted * weights, -1, keepdims=True)
    return tf.saturate_cast(tf.round(grey + (contrasted - grey) * factors[2]), tf.uint8)


def mix_up(images: Any, targets: Any, seed: Any, alpha: float) -> tuple[Any, Any]:
    """Blend each image and its target with its neighbour's in the (shuffled) batch.

    `images` are normalised float32 (B, H, W, 3), `targets` one-hot float32 (B, C); one weight
    drawn from Beta(alpha, alpha) serves the whole batch (Zhang et al., arXiv 1710.09412).
    """
    weight = _sample_symmetric_beta(seed, alpha)
    return (
        weight * images + (1.0 - weight) * tf.roll(images, shift=1, axis=0),
        weight * targets + (1.0 - weight) * tf.roll(targets, shift=1, axis=0),
    )


def cut_mix(images: Any, targets: Any, seed: Any, alpha: float) -> tuple[Any, Any]:
    """Replace one rectangle of each image by its neighbour's, and blend the targets by area.

    Shapes as in `mix_up`. The rectangle, the same for the whole batch, has the image's
    proportions and a share of its area drawn from Beta(alpha, alpha); its centre is any pixel, and
    what lies outside counts for nothing (Yun et al., arXiv 1905.04899, section 3.1).
    """
    _, height, width, _ = images.shape
    seeds = tf.random.split(seed, 2, alg="philox")
    side = tf.sqrt(_sample_symmetric_beta(seeds[0], alpha))
    unit = tf.random.stateless_uniform((2,), seeds[1], alg="philox")
    masks = []
    for length, centre in ((height, unit[0]), (width, unit[1])):
        size = tf.cast(tf.round(side * length), tf.int32)
        first = tf.cast(centre * length, tf.int32) - size // 2
        masks.append(within(tf.range(length), first, size))
    inside = masks[0][:, tf.newaxis] & masks[1]  # (H, W)
    share = tf.reduce_mean(tf.cast(inside, targets.dtype))
    return (
        tf.where(inside[tf.newaxis, ..., tf.newaxis], tf.roll(images, shift=1, axis=0), images),
        (1.0 - share) * targets + share * tf.roll(targets, shift=1, axis=0),
    )


def _sample_symmetric_beta(seed: Any, alpha: float) -> Any:
    """Return one number from Beta(alpha, alpha).

    X / (X + Y) of two Gamma(alpha) numbers, in logarithms: for a small alpha both numbers
    underflow to 0. Gamma(a) is Gamma(a + 1) * U ** (1 / a) (Marsaglia and Tsang 2000, section 6).
    """
    seeds = tf.random.split(seed, 2, alg="philox")
    gammas = tf.random.stateless_gamma((2,), seeds[0], alpha + 1.0)
    uniforms = 1.0 - tf.random.stateless_uniform((2,), seeds[1], alg="philox")  # (0, 1]
    logs = tf.math.log(gammas) + tf.math.log(uniforms) / alpha
    return tf.sigmoid(logs[0] - logs[1])


def _reflect(positions: Any, size: int) -> Any:
    """Map positions from -(size - 1) to 2 * (size - 1) into 0..size-1, mirrored at both edges."""
    positions = tf.abs(positions)
    return tf.minimum(positions, 2 * (size - 1) - positions)


def within(positions: Any, first: Any, size: Any) -> Any:
    """Return which positions lie in first..first + size - 1, bool."""
    return (positions >= first) & (positions < first + size)


def _gather_pixels(images: Any, rows: Any, columns: Any) -> Any:
    """Return images[b, rows[b, y], columns[b, x]] for all b, y, x, in one gather."""
    batch, height, width, channels = images.shape
    starts = tf.range(batch)[:, tf.newaxis] * height + rows  # (B, H), in rows of pixels
    positions = (starts * width)[:, :, tf.newaxis] + columns[:, tf.newaxis, :]
    return tf.gather(tf.reshape(images, (-1, channels)), positions)
