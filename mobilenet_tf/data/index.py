"""Which labelled image files there are: classes, paths and parts, before any of them is read."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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

    def fingerprint(self) -> str:
        """Return a SHA-256, in hex, of all rows and of the size and time of change of each file."""
        digest = hashlib.sha256(repr(self.classes).encode())
        for path, label, part in zip(self.paths, self.labels, self.parts, strict=True):
            digest.update(os.fsencode(f"{path}\0{label} {part} {_state(self.root / path)}\n"))
        return digest.hexdigest()


def _state(path: Path) -> str:
    try:
        state = path.stat()
    except OSError:
        return "gone"
    return f"{state.st_size} {state.st_mtime_ns}"
