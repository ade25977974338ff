"""A split of labelled images, the validation part held out of it, and its fingerprint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mobilenet_tf.errors import MtfError, UsageError

_HASHED_AT_ONCE = 1000  # images


class Images(Protocol):
    """Images uint8 (N, H, W, 3): an array, or what reads them when it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, (N, H, W, 3)."""

    @property
    def ndim(self) -> int:
        """The number of dimensions, 4."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values, uint8."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled images: `images` uint8 (N, H, W, 3), `labels` int64 (N,).

    Where `images` are no array, they stay on disk: indexing reads what is asked for.

    Raises:
        MtfError: the arrays have another type or shape, or differ in length.
    """

    images: Images
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise MtfError(
                "images must be uint8 of shape (count, height, width, 3),"
                f" not {images.dtype} {images.shape}"
            )
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise MtfError(
                f"labels must be int64 of shape ({len(images)},), one for each image,"
                f" not {labels.dtype} {labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> Split:
        """Return a new split with the images at `indices` (int64 (M,)), in that order."""
        return Split(self.images[indices], self.labels[indices])


def check_labels(split: Split, class_count: int, name: str) -> Split:
    """Return `split` when every label is one of `class_count` classes.

    Raises:
        MtfError: a label lies outside 0..class_count-1; the message names the first such image.
    """
    outside = np.flatnonzero((split.labels < 0) | (split.labels >= class_count))
    if outside.size:
        first = int(outside[0])
        raise MtfError(
            f"{name}: image {first} has label {int(split.labels[first])}, outside the classes"
            f" 0..{class_count - 1} ({outside.size} such labels); prepare the dataset again or"
            " correct its labels"
        )
    return split


def hold_out_validation(split: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Return (train, validation): `count` images held out, every class in its proportion.

    The count is met exactly: classes get their proportional share rounded down, and the largest
    remainders get the rest. The same split, count and seed give the same images on every
    machine and numpy version. Both parts keep the order of `split`; with count 0 validation has
    no images and train is `split` itself.

    Raises:
        UsageError: `count` is negative, or a class would be without an image in either part.
    """
    total = len(split)
    if count == 0:
        return split, split.take(np.empty(0, np.int64))
    if not 0 < count < total:
        raise UsageError(
            f"cannot hold out {count} of {total} training images for validation; choose from 0"
            f" (none) to {total - 1}"
        )
    classes, members = np.unique(split.labels, return_counts=True)
    shares = largest_remainders(count, members)
    for label, member_count, share in zip(classes, members, shares, strict=True):
        if not 0 < share < member_count:
            part = "validation" if share == 0 else "training"
            raise UsageError(
                f"holding out {count} of {total} images for validation leaves class {label}"
                f" ({member_count} images) without any for {part}; choose"
                f" {'more' if share == 0 else 'fewer'}, or 0 for no validation"
            )
    # RandomState, not default_rng: numpy promises that its stream never changes.
    random = np.random.RandomState(seed)
    held_out = np.zeros(total, bool)
    for label, share in zip(classes, shares, strict=True):
        held_out[random.permutation(np.flatnonzero(split.labels == label))[:share]] = True
    return split.take(np.flatnonzero(~held_out)), split.take(np.flatnonzero(held_out))


def largest_remainders(count: int, weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return whole shares, int64 of `weights`' shape, that sum to `count` in their proportion.

    Hare quota with largest remainders; equal remainders go to the lower index.
    """
    floors, remainders = np.divmod(count * weights.astype(np.int64), int(weights.sum()))
    first = np.argsort(-remainders, kind="stable")[: count - int(floors.sum())]
    floors[first] += 1
    return floors


def fingerprint(split: Split) -> str:
    """Return a SHA-256, in hex, of the images, their labels, order and shape."""
    digest = hashlib.sha256(f"uint8 {split.images.shape} int64\n".encode())
    for start in range(0, len(split), _HASHED_AT_ONCE):
        digest.update(np.ascontiguousarray(split.images[start : start + _HASHED_AT_ONCE]).data)
    digest.update(np.ascontiguousarray(split.labels, dtype="<i8").data)
    return digest.hexdigest()
