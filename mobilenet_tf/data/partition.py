"""Validation and test images for a folder that does not say which they are.

Validation images, and test images where there are no validation ones, are taken from the training
images. How many depends on how many there are: 15 % of each class up to 2,000 images, 10 % above,
at most 5,000 in all, at least one of each class. Where validation images are given and test ones
are not, half of them become the test set: they were kept apart already, as training images may not
be from them, and none is lost to training. All by class, by the seed, and near-duplicates together,
so that no image is learned from and measured on. The outcome can be written as a CSV file that
`folder.index_images` reads.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilenet_tf.data.index import PARTS, TEST, TRAIN, VALIDATION, ImageIndex
from mobilenet_tf.errors import MtfError, UsageError, name_some
from mobilenet_tf.system.terminal import escape

SPLIT_FILE = "split.csv"  # in the folder of a train stage
_SMALL_COUNT = 2000
_PART_COUNT_MAX = 5000
_NAMED = 10
SMALL_TEST_COUNT = 500  # below it the 95 % interval of an accuracy is wider than 2 points each way


def default_share(count: int) -> float:
    """Return which share of `count` images is held out for validation, and again for test."""
    share = 0.15 if count <= _SMALL_COUNT else 0.1
    return min(share, _PART_COUNT_MAX / max(count, 1))


def find_missing(index: ImageIndex) -> list[int]:
    """Return the parts that an index has not, test first."""
    return [part for part in (TEST, VALIDATION) if not index.has(part)]


def find_source(index: ImageIndex, groups: NDArray[np.int64]) -> int:
    """Return the part that missing ones are taken from: TRAIN or, for a test set, VALIDATION.

    The latter if each of its classes has at least two different images there.
    """
    rows = index.rows(VALIDATION)
    different = np.unique(np.stack([index.labels[rows], groups[rows]]), axis=1)[0]
    counts = np.bincount(different, minlength=len(index.classes))
    return VALIDATION if len(rows) and counts[counts > 0].min() > 1 else TRAIN


def find_short(
    index: ImageIndex, groups: NDArray[np.int64], missing: Collection[int]
) -> dict[str, int]:
    """Return how many different training images the classes have that have too few.

    One is needed for training, and one for each missing part that is taken from training images.
    What is the same in several classes counts for the first.
    """
    rows = index.rows(TRAIN)
    owners = _first_labels(index, groups, rows)[np.unique(groups[rows])]
    counts = np.bincount(owners, minlength=len(index.classes)).tolist()
    pairs = zip(index.classes, counts, strict=True)
    return {name: count for name, count in pairs if count <= len(missing)}


def _first_labels(
    index: ImageIndex, groups: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the smallest label of each group among some rows, int64."""
    labels = np.full(groups.max(initial=-1) + 1, len(index.classes))
    np.minimum.at(labels, groups[rows], index.labels[rows])
    return labels


def explain_short(short: Mapping[str, int], missing: Collection[int]) -> tuple[str, str]:
    """Return what is wrong with classes of `find_short`, and what to do about it."""
    named = [f"{name} ({count})" for name, count in short.items()]
    parts = ", ".join(PARTS[part] for part in (TRAIN, *sorted(missing)))
    return (
        f"fewer than {1 + len(missing)} different images for training: {name_some(named, _NAMED)}",
        f"one is needed for each of {parts}; add images, merge these classes or remove them",
    )


def check_counts(index: ImageIndex, share: float) -> None:
    """Refuse (UsageError) classes with too few images to split, before any is compared."""
    missing, all_different = find_missing(index), np.arange(len(index))
    if share or find_source(index, all_different) == TRAIN:
        _refuse_short(index, all_different, missing)


def _refuse_short(index: ImageIndex, groups: NDArray[np.int64], missing: list[int]) -> None:
    short = find_short(index, groups, missing)
    if short:
        raise UsageError(escape(f"{index.origin}: {'; '.join(explain_short(short, missing))}"))


def partition(
    index: ImageIndex, groups: NDArray[np.int64], *, seed: int, share: float = 0.0
) -> ImageIndex:
    """Return the index with every part filled; `groups`, int64 (N,) in 0..N-1, are kept together.

    `share` of the training images goes to each missing part; 0 stands for `default_share`, or for
    what `find_source` says. The same index, groups and seed give the same parts on every machine.

    Raises:
        UsageError: a class has too few different images for a training image and one of each
            missing part.
    """
    missing = find_missing(index)
    if not missing:
        return index
    source = TRAIN if share else find_source(index, groups)
    rows = index.rows(source)
    if source == TRAIN:
        _refuse_short(index, groups, missing)
    share = 0.5 if source == VALIDATION else share or default_share(len(rows))
    first_label = _first_labels(index, groups, rows)
    part_of = np.full(len(groups), source, np.int8)
    # RandomState, not default_rng: numpy promises that its stream never changes.
    random = np.random.RandomState(seed)
    for label in range(len(index.classes)):
        members = rows[index.labels[rows] == label]
        different, counts = np.unique(groups[members], return_counts=True)
        order = random.permutation(len(different))
        order = order[first_label[different[order]] == label]
        free = list(zip(different[order].tolist(), counts[order].tolist(), strict=True))
        if len(free) <= len(missing):  # none of this class in VALIDATION, or not different ones
            continue
        wanted = max(1, round(share * len(members)))
        for still_missing, part in zip(range(len(missing), 0, -1), missing, strict=True):
            chosen = _choose(free, wanted, spare=still_missing)
            part_of[[group for group, _ in chosen]] = part
            free = [entry for entry in free if part_of[entry[0]] == source]
    parts = index.parts.copy()
    parts[rows] = part_of[groups[rows]]
    return replace(index, parts=parts)


def format_split(index: ImageIndex) -> str:
    """Return which image is in which part, as CSV with the columns path, label and split.

    Beside the images, this file is the same dataset with the same split.
    """
    text = io.StringIO()
    # Before Python 3.13 csv does not quote a carriage return by itself.
    quoted = any("\r" in path for path in index.paths)
    dialect = "unix" if quoted else "excel"  # that quotes all fields, this where it must
    writer = csv.writer(text, dialect, lineterminator="\n")
    writer.writerow(["path", "label", "split"])
    labels, parts = index.labels.tolist(), index.parts.tolist()
    for path, label, part in zip(index.paths, labels, parts, strict=True):
        writer.writerow([path, index.classes[label], PARTS[part]])
    return text.getvalue()


def restore_split(index: ImageIndex, file: Path) -> NDArray[np.int8]:
    """Return the part of each row that a file of `format_split` notes, int8 (N,); -1 where none.

    Raises:
        MtfError: the file is missing or damaged.
    """
    try:
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
            parts = {row["path"]: PARTS.index(row["split"]) for row in csv.DictReader(lines)}
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise MtfError(
            f"{file} is missing or damaged ({error}); remove it and run again"
        ) from error
    return np.array([parts.get(path, -1) for path in index.paths], np.int8)


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
