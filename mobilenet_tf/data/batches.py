"""Batches for training with tf.data.

Images stay bytes until the last moment: gathering, cropping, flipping and cutting out move
uint8, and one cast makes the floats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mobilenet_tf.data import augmentation, photographic
from mobilenet_tf.data.augmentation import PartSeed
from mobilenet_tf.data.pipeline import normalise, resize_batch
from mobilenet_tf.data.splits import Images, Split, check_labels
from mobilenet_tf.errors import UsageError
from mobilenet_tf.keras import tf
from mobilenet_tf.recipe import AugmentationSettings


@dataclass(frozen=True, kw_only=True)
class TrainingBatches:
    """The batches of a training run, of which each is a function of (seed, epoch, step) alone.

    Each is (images, targets): float32 (B, R, R, 3), normalised, and float32 one-hot (B, C). An
    epoch has `steps_per_epoch(len(split), batch_size)` of them in a new order; what is left over is
    dropped. Lengths in `augmentation` are pixels of the dataset's own resolution: augmentation
    comes before resizing and means the same at every resolution.

    Of each batch only `part`, the first number counted from 0 of so many: nothing else is read or
    augmented, except for one neighbour where images are mixed. The parts together are the batch.
    """

    split: Split
    augmentation: AugmentationSettings
    resolution_px: int
    batch_size: int
    class_count: int
    seed: int
    epochs: int = 1
    part: tuple[int, int] = (0, 1)

    @property
    def steps(self) -> int:
        """Return how many batches an epoch has; UsageError if there are too few images for one."""
        return steps_per_epoch(len(self.split), self.batch_size)

    def from_epoch(self, first: int = 0) -> tf.data.Dataset:
        """Return the batches of epochs `first`..`epochs` - 1 one after another.

        They are bit for bit those that a dataset from an earlier epoch has at that place.

        Raises:
            UsageError: the batch is larger than the split, or the crop padding than the images.
            MtfError: a label outside the classes.
        """
        check_labels(self.split, self.class_count, "training images")
        source = _Source(
            _make_gather(self.split.images),
            tf.constant(self.split.labels),  # captured, not a constant of the graph: held once
            augmentation.toss_coins(len(self.split), tf.constant([self.seed, 1], tf.int32)),
        )
        share = self.augmentation.strong_share
        strong = sum(epoch / self.epochs < share for epoch in range(self.epochs))
        batches = self._make_epochs(source, self.augmentation, first, max(first, strong))
        if strong < self.epochs:
            mild, start = calm(self.augmentation), max(first, strong)
            rest = self._make_epochs(source, mild, start, max(first, self.epochs))
            batches = batches.concatenate(rest)
        return batches.prefetch(2)

    def _make_epochs(
        self, source: _Source, settings: AugmentationSettings, first: int, end: int
    ) -> tf.data.Dataset:
        make_batch = partial(self._make_batch, source, settings)
        return (
            tf.data.Dataset.range(first, end)
            .flat_map(self._order_epoch)
            .apply(tf.data.experimental.assert_cardinality(self.steps * (end - first)))
            .map(make_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        )

    def _order_epoch(self, epoch: Any) -> tf.data.Dataset:
        """Return (epoch, step, which images), the last int32 (B,), for every step of an epoch."""
        count = len(self.split)
        order_seed, _ = _split_seed(self.seed, epoch)
        order = tf.random.experimental.stateless_shuffle(tf.range(count), order_seed, alg="philox")
        order = tf.reshape(order[: self.steps * self.batch_size], (self.steps, self.batch_size))
        return tf.data.Dataset.from_tensor_slices(
            (tf.fill((self.steps,), epoch), tf.range(self.steps, dtype=tf.int64), order)
        )

    def _make_batch(
        self,
        source: _Source,
        settings: AugmentationSettings,
        epoch: Any,
        step: Any,
        indices: Any,
    ) -> tuple[Any, Any]:
        mixes = bool(settings.mixup_alpha or settings.cutmix_alpha)
        places = _choose_places(self.part, self.batch_size, neighbour=mixes)
        _, epoch_seed = _split_seed(self.seed, epoch)
        seed = PartSeed(tf.random.fold_in(epoch_seed, step, alg="philox"), self.batch_size, places)
        indices = tf.gather(indices, places)
        shape = (len(places), *self.split.images.shape[1:])
        images = tf.ensure_shape(source.gather_images(indices), shape)
        targets = tf.one_hot(tf.gather(source.labels, indices), self.class_count)
        mirrored = tf.gather(source.mirrored_first, indices) ^ (epoch % 2 == 1)
        images, targets = _augment(
            images, targets, settings, self.resolution_px, seed=seed, mirrored=mirrored
        )
        extra = len(places) - self.batch_size // self.part[1]
        return images[extra:], targets[extra:]


@dataclass(frozen=True)
class _Source:
    """What every batch draws from, as tensors outside of the graphs."""

    gather_images: Callable[[Any], Any]
    labels: Any  # int (N,)
    mirrored_first: Any  # bool (N,): mirrored by an alternating flip in even epochs


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


def _split_seed(seed: int, epoch: Any) -> tuple[Any, Any]:
    """Return two seeds of an epoch, each int32 (2,): of its order, and of its batches."""
    base = tf.constant([seed, 0], tf.int32)
    order, batches = tf.unstack(
        tf.random.split(tf.random.fold_in(base, epoch, alg="philox"), 2, alg="philox")
    )
    return order, batches
