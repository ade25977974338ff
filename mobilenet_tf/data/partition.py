"""Validation and test images for a folder that does not say which they are.

The missing parts are taken from the training images: by class, by the seed, and near-duplicates
together, so that no image is learned from and measured on. How many depends on how many there
are: 15 % of each class up to 2,000 images, 10 % above, at most 5,000 in all, at least one of each
class. The outcome can be written as a CSV file that `folder.index_images` reads.
"""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mobilenet_tf.data.index import PARTS, TEST, TRAIN, VALIDATION, ImageIndex
from mobilenet_tf.errors import UsageError
from mobilenet_tf.system.terminal import escape

SPLIT_FILE = "split.csv"  # in the folder of a train stage
_SMALL_COUNT = 2000
_PART_COUNT_MAX = 5000
SMALL_TEST_COUNT = 500  # below it the 95 % interval of an accuracy is wider than 2 points each way


def default_share(count: int) -> float:
    """Return which share of `count` images is held out for validation, and again for test."""
    share = 0.15 if count <= _SMALL_COUNT else 0.1
    return min(share, _PART_COUNT_MAX / max(count, 1))


def partition(
    index: ImageIndex, groups: NDArray[np.int64], *, seed: int, share: float = 0.0
) -> ImageIndex:
    """Return the index with every part filled; `groups`, int64 (N,), are kept together.

    Parts that the index has stay as they are. `share` of the training images goes to each missing
    part; 0 stands for `default_share`. The same index, groups and seed give the same parts on
    every machine.

    Raises:
        UsageError: a class has too few different images for a training image and one of each
            missing part.
    """
    missing = [part for part in (TEST, VALIDATION) if not index.has(part)]
    if not missing:
        return index
    rows = index.rows(TRAIN)
    share = share or default_share(len(rows))
    parts = index.parts.copy()
    # RandomState, not default_rng: numpy promises that its stream never changes.
    random = np.random.RandomState(seed)
    for label, name in enumerate(index.classes):
        members = rows[index.labels[rows] == label]
        first, counts = _shuffle_groups(groups[members], random)
        mixed = np.isin(first, groups[rows[index.labels[rows] < label]])
        free = list(zip(first[~mixed].tolist(), counts[~mixed].tolist(), strict=True))
        if len(free) <= len(missing):
            raise UsageError(
                f"{index.origin}: class {escape(name)} has {len(members)} images, of which"
                f" {len(free)} are different; {len(missing) + 1} are needed, one for each of train,"
                f" {' and '.join(PARTS[part] for part in sorted(missing))}: add some or remove the"
                " class"
            )
        wanted = max(1, round(share * len(members)))
        for still_missing, part in zip(range(len(missing), 0, -1), missing, strict=True):
            chosen = _choose(free, wanted, spare=still_missing)
            parts[rows[np.isin(groups[rows], [group for group, _ in chosen])]] = part
            taken = set(chosen)
            free = [entry for entry in free if entry not in taken]
    return replace(index, parts=parts)


def format_split(index: ImageIndex) -> str:
    """Return which image is in which part, as CSV with the columns path, label and split.

    Beside the images, this file is the same dataset with the same split.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "split"])
    labels, parts = index.labels.tolist(), index.parts.tolist()
    for path, label, part in zip(index.paths, labels, parts, strict=True):
        writer.writerow([path, index.classes[label], PARTS[part]])
    return text.getvalue()


def _shuffle_groups(
    groups: NDArray[np.int64], random: np.random.RandomState
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the different groups in random order, and how many images each has."""
    different, counts = np.unique(groups, return_counts=True)
    order = random.permutation(len(different))
    return different[order], counts[order]


def _choose(free: list[tuple[int, int]], wanted: int, *, spare: int) -> list[tuple[int, int]]:
    """Return groups of (number, images) that make up `wanted` images, `spare` others left over.

    A group that is too large for what is still wanted is passed over: it goes to training.
    """
    chosen: list[tuple[int, int]] = []
    for group, count in free:
        if len(chosen) < len(free) - spare and count <= wanted:
            chosen.append((group, count))
            wanted -= count
    return chosen or [min(free, key=lambda entry: entry[1])]
