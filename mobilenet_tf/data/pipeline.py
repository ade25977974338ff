"""Batches for training with tf.data, and the two steps every image takes before a model.

Images stay bytes until the last moment: gathering, cropping, flipping and cutting out move
uint8, and one cast makes the floats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilenet_tf.data import augmentation, photographic
from mobilenet_tf.data.augmentation import PartSeed
from mobilenet_tf.data.image import fit_box
from mobilenet_tf.data.splits import Images, Split, check_labels
from mobilenet_tf.errors import UsageError
from mobilenet_tf.keras import tf
from mobilenet_tf.recipe import AugmentationSettings, ResizeRule

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
    resized = np.full((len(images), resolution_px, resolution_px, 3), augmentation.GREY, np.uint8)
    inside = resized[:, box.target_rows, box.target_columns]
    for start in range(0, len(images), _RESIZE_CHUNK):
        chunk = images[start : start + _RESIZE_CHUNK, box.rows, box.columns]
        inside[start : start + _RESIZE_CHUNK] = _resize(tf.constant(chunk), inside.shape[1:3])
    return resized


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return how many full batches `count` training images give.

    Raises:
        UsageError: there are fewer images than one batch takes.
    """
    if batch_size > count:
        raise UsageError(
            f"batch size {batch_size} is larger than the {count} training images; choose a"
            f" batch size of at most {count}, or hold out fewer for validation"
        )
    return count // batch_size


def make_training_batches(
    split: Split,
    settings: AugmentationSettings,
    *,
    resolution_px: int,
    batch_size: int,
    class_count: int,
    seed: int,
    first_epoch: int = 0,
    epochs: int = 1,
    part: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Return the batches of epochs `first_epoch`..`epochs` - 1, of `epochs`, one after another.

    Of each batch only `part`, the first number counted from 0 of so many: nothing else is read or
    augmented, except for one neighbour where images are mixed. The parts together are the batch.

    Each element is (images, targets): float32 (B, R, R, 3), normalised, and float32 one-hot
    (B, C). An epoch has `steps_per_epoch(len(split), batch_size)` batches in a new order; what
    is left over is dropped. Every random number depends on (seed, epoch, step) alone, so that
    training which resumes at an epoch sees bit for bit the batches it would have seen. Lengths
    in `settings` are pixels of the dataset's own resolution: augmentation comes before resizing
    and means the same at every resolution.

    Raises:
        UsageError: the batch is larger than the split, or the crop padding than the images.
        MtfError: a label outside the classes.
    """
    steps = steps_per_epoch(len(split), batch_size)
    check_labels(split, class_count, "training images")
    gather_images = _make_gather(split.images)
    labels = tf.constant(split.labels)  # captured, not a constant of the graph: held once
    mirrored_first = augmentation.toss_coins(len(split), tf.constant([seed, 1], tf.int32))

    def make_epoch(epoch: Any) -> tf.data.Dataset:
        shuffle_seed = _epoch_seeds(seed, epoch, 2)[0]
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(split)), shuffle_seed, alg="philox"
        )
        order = tf.reshape(order[: steps * batch_size], (steps, batch_size))
        return tf.data.Dataset.from_tensor_slices(
            (tf.fill((steps,), epoch), tf.range(steps, dtype=tf.int64), order)
        )

    def make_epochs(settings: AugmentationSettings, first: int, end: int) -> tf.data.Dataset:
        mixes = bool(settings.mixup_alpha or settings.cutmix_alpha)
        places = _choose_places(part, batch_size, neighbour=mixes)

        def make_batch(epoch: Any, step: Any, indices: Any) -> tuple[Any, Any]:
            step_seed = tf.random.fold_in(_epoch_seeds(seed, epoch, 2)[1], step, alg="philox")
            indices = tf.gather(indices, places)
            shape = (len(places), *split.images.shape[1:])
            batch = tf.ensure_shape(gather_images(indices), shape)
            targets = tf.one_hot(tf.gather(labels, indices), class_count)
            mirrored = tf.gather(mirrored_first, indices) ^ (epoch % 2 == 1)
            whole = PartSeed(step_seed, batch_size, places)
            images, targets = _augment(
                batch, targets, settings, resolution_px, seed=whole, mirrored=mirrored
            )
            extra = len(places) - batch_size // part[1]
            return images[extra:], targets[extra:]

        return (
            tf.data.Dataset.range(first, end)
            .flat_map(make_epoch)
            .apply(tf.data.experimental.assert_cardinality(steps * (end - first)))
            .map(make_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        )

    strong = sum(epoch / epochs < settings.strong_share for epoch in range(epochs))
    batches = make_epochs(settings, first_epoch, max(first_epoch, strong))
    if strong < epochs:
        batches = batches.concatenate(
            make_epochs(calm(settings), max(first_epoch, strong), max(first_epoch, epochs))
        )
    return batches.prefetch(2)


def _choose_places(part: tuple[int, int], batch_size: int, *, neighbour: bool) -> Any:
    """Return where in a batch its part is, int32; after the image that its first is mixed with."""
    number, count = part
    size = batch_size // count
    first = number * size
    extra = neighbour and count > 1
    return np.arange(first - extra, first + size, dtype=np.int32) % batch_size


def _make_gather(images: Images) -> Callable[[Any], Any]:
    """Return a function from int32 (B,) to the images at these places, held or read from disk."""
    if isinstance(images, np.ndarray):
        held = tf.constant(images)
        return lambda indices: tf.gather(held, indices)
    return lambda indices: tf.numpy_function(
        lambda rows: images[rows], [indices], tf.uint8, stateful=False
    )


def calm(settings: AugmentationSettings) -> AugmentationSettings:
    """Return what is left of the settings in the epochs after `strong_share`: crops and flip."""
    return AugmentationSettings(
        crop_padding_px=settings.crop_padding_px,
        flip=settings.flip,
        random_resized_crop_scale=settings.random_resized_crop_scale,
    )


def ended(settings: AugmentationSettings) -> AugmentationSettings:
    """Return what goes on after a training: strong parts that end in its course have ended."""
    return calm(settings) if settings.strong_share < 1 else settings


def _augment(
    images: Any,
    targets: Any,
    settings: AugmentationSettings,
    resolution_px: int,
    *,
    seed: PartSeed,
    mirrored: Any,
) -> tuple[Any, Any]:
    """Return images of one batch changed as `settings` say, resized and normalised.

    `mirrored`, bool (B,), are the images that an alternating flip mirrors in this epoch.
    """
    *seeds, mix_seed = map(seed.replace, tf.unstack(tf.random.split(seed.seed, 4, alg="philox")))
    if settings.random_resized_crop_scale:
        images = photographic.random_resized_crop(
            images,
            seed.fold_in(6),
            settings.random_resized_crop_scale,
            resolution_px,
        )
    elif settings.crop_padding_px:
        images = augmentation.crop_with_reflection(images, seeds[0], settings.crop_padding_px)
    if settings.flip:
        if settings.flip is True:
            mirrored = augmentation.toss_coins(images.shape[0], seeds[1])
        images = augmentation.flip_horizontally(images, mirrored)
    if settings.rotation_degrees or settings.translation_share:
        warp_seed = seed.fold_in(4)
        images = augmentation.warp(
            images, warp_seed, settings.rotation_degrees, settings.translation_share
        )
    if settings.color_jitter:
        color_seed = seed.fold_in(5)
        images = augmentation.jitter_colors(images, color_seed, settings.color_jitter)
    if settings.trivial_augment:
        images = photographic.trivial_augment(images, seed.fold_in(7))
    if settings.cutout_px:
        images = augmentation.cut_out(images, seeds[2], settings.cutout_px)
    if settings.erasing_probability:
        erase_seed = seed.fold_in(8)
        images = photographic.erase(images, erase_seed, settings.erasing_probability)
    floats = normalise(resize_batch(images, resolution_px))
    return _mix(floats, targets, settings, mix_seed.seed)


def _mix(images: Any, targets: Any, settings: AugmentationSettings, seed: Any) -> tuple[Any, Any]:
    """Return one batch mixed by mixup or CutMix; with both, a coin decides for the batch."""

    def mix_up() -> tuple[Any, Any]:
        return augmentation.mix_up(images, targets, seed, settings.mixup_alpha)

    def cut_mix() -> tuple[Any, Any]:
        return augmentation.cut_mix(images, targets, seed, settings.cutmix_alpha)

    if settings.mixup_alpha and settings.cutmix_alpha:
        coin = augmentation.toss_coins(1, tf.random.fold_in(seed, 1, alg="philox"))[0]
        mixed: tuple[Any, Any] = tf.cond(coin, mix_up, cut_mix)
        return mixed
    if settings.mixup_alpha:
        return mix_up()
    return cut_mix() if settings.cutmix_alpha else (images, targets)


def resize_batch(images: Any, resolution_px: int) -> Any:
    """Return square tensors (B, S, S, 3) as (B, R, R, 3) of the same type, as `resize_bytes`."""
    return _resize(images, (resolution_px, resolution_px))


def _resize(images: Any, size: tuple[int, int]) -> Any:
    if images.shape[1:3] == size:
        return images
    shrinks = any(new < old for new, old in zip(size, images.shape[1:3], strict=True))
    resized = tf.image.resize(images, size, antialias=shrinks)
    return tf.saturate_cast(tf.round(resized), tf.uint8) if images.dtype == tf.uint8 else resized


def _epoch_seeds(seed: int, epoch: Any, count: int) -> Any:
    """Return `count` seeds, an int32 tensor (count, 2), that belong to this epoch alone."""
    base = tf.constant([seed, 0], tf.int32)
    return tf.random.split(tf.random.fold_in(base, epoch, alg="philox"), count, alg="philox")
