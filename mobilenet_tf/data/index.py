"""Which labelled image files there are: classes, paths and parts, before any of them is read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilenet_tf.errors import UsageError
from mobilenet_tf.system.terminal import escape

PARTS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
PART_NAMES = {  # what a folder or a column may call them
    "train": TRAIN,
    "training": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "test": TEST,
    "testing": TEST,
}
CLASSES_MAX = 10_000
IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
)
_PATHS_NAMED = 3


@dataclass(frozen=True, eq=False)
class ImageIndex:
    """Labelled image files; row i is `root / paths[i]`, of class `classes[labels[i]]`.

    `paths` are relative to `root` with forward slashes, `labels` int64 (N,), `parts` int8 (N,)
    with the numbers of `PARTS`. Where the images came without a split, all are training ones.
    `origin` is the folder or the CSV file that was read, `ignored` are files that are no images.
    """

    root: Path
    origin: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    parts: NDArray[np.int8]
    ignored: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def rows(self, part: int) -> NDArray[np.int64]:
        """Return the rows of one part, int64, in order."""
        return np.flatnonzero(self.parts == part)

    def has(self, part: int) -> bool:
        """Say whether a part has any image."""
        return bool((self.parts == part).any())

    def path(self, row: int) -> Path:
        """Return the file of a row."""
        return self.root / self.paths[row]

    def keep(self, chosen: NDArray[np.bool_]) -> ImageIndex:
        """Return the index of the rows where `chosen`, bool (N,), is true."""
        paths = tuple(path for path, keeps in zip(self.paths, chosen, strict=True) if keeps)
        return replace(self, paths=paths, labels=self.labels[chosen], parts=self.parts[chosen])


def make_index(
    rows: Sequence[tuple[str, str, int]],
    *,
    root: Path,
    origin: Path,
    ignored: Iterable[str] = (),
    to_train: bool = True,
) -> ImageIndex:
    """Return the index of (path, class name, part) rows, its classes in natural order.

    What only training needs, two classes with training images of each, is asked for `to_train`.

    Raises:
        UsageError: no image, fewer than two or too many classes, names that differ only in case
            or cannot be shown, or a class that has no training image.
    """
    if not rows:
        raise UsageError(f"{origin} names no image; give some of each class")
    names = {name for _, name, _ in rows}
    check_class_names(names, origin, least=2 if to_train else 1)
    trained = {name for _, name, part in rows if part == TRAIN}
    for part in (VALIDATION, TEST) if to_train else ():
        unknown = {name for _, name, its in rows if its == part} - trained
        if unknown:
            raise UsageError(
                f"{origin}: {PARTS[part]} has {_list(unknown)}, and no training image shows"
                " that; add training images or take it out"
            )
    classes = tuple(sorted(names, key=natural_key))
    number = {name: label for label, name in enumerate(classes)}
    return ImageIndex(
        root=root,
        origin=origin,
        classes=classes,
        paths=tuple(path for path, _, _ in rows),
        labels=np.array([number[name] for _, name, _ in rows], np.int64),
        parts=np.array([part for _, _, part in rows], np.int8),
        ignored=tuple(sorted(ignored)),
    )


def check_class_names(names: Iterable[str], origin: Path, least: int = 2) -> None:
    """Refuse names that no labels file can hold, or that a person cannot tell apart."""
    names = sorted(names)
    if len(names) < least:
        raise UsageError(
            f"{origin} has one class, {escape(names[0])}; a classifier needs at least two, so add"
            " a folder (or rows) of what is not that class"
        )
    if len(names) > CLASSES_MAX:
        raise UsageError(
            f"{origin} has {len(names):,} classes, more than {CLASSES_MAX:,};"
            " are its folders classes, or one for each image?"
        )
    seen: dict[str, str] = {}
    for name in names:
        if not name.isprintable() or name != name.strip() or not name:
            raise UsageError(
                f"{origin}: the class {escape(repr(name))} has control characters or blanks"
                " around it, which lists of labels cannot hold; rename it"
            )
        twin = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if twin != name:
            raise UsageError(
                f"{origin}: the classes {twin} and {name} differ only in case or accents'"
                " encoding; merge them or rename one"
            )


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a key that sorts as people count: class2 before class10, whatever the case."""
    pieces = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in pieces if p], name


def is_image_name(name: str) -> bool:
    """Say whether a file's name ends as images' names do."""
    return name[name.rfind(".") :].lower() in IMAGE_SUFFIXES


def _list(names: Iterable[str]) -> str:
    chosen = sorted(names, key=natural_key)
    text = ", ".join(map(escape, chosen[:_PATHS_NAMED]))
    return text + (f" and {len(chosen) - _PATHS_NAMED} more" if len(chosen) > _PATHS_NAMED else "")
