"""Take files out of a dataset without deleting any: they move to a folder beside it, and back."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from mobilenet_tf.data.check import find_file
from mobilenet_tf.errors import UsageError
from mobilenet_tf.files import write_text


def removed_folder(origin: Path) -> Path:
    """Return the folder that takes what is removed from a dataset: FOLDER-removed beside it."""
    whole = origin.resolve()
    return whole.with_name(f"{whole.name}-removed")


def move_out(origin: Path, paths: Iterable[str]) -> list[tuple[Path, Path]]:
    """Move files, relative to a folder, to the same places below FOLDER-removed.

    Returns (from, to) of each; nothing is overwritten: of what is there already, the name of the
    new one gets a number.
    """
    target = removed_folder(origin)
    moved = []
    for relative in paths:
        source, wanted = find_file(origin, relative), target / relative
        if not os.path.lexists(source):  # moved by another name, through a link to its folder
            continue
        destination, number = wanted, 2
        while os.path.lexists(destination):
            destination = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
            number += 1
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, destination)
        moved.append((source, destination))
    return moved


def move_back(origin: Path) -> list[tuple[Path, Path]]:
    """Move everything below FOLDER-removed to where it was, and return (from, to) of each.

    Raises:
        UsageError: there is no such folder, or a file has come to be where another was.
    """
    source = removed_folder(origin)
    if not source.is_dir():
        raise UsageError(f"there is no {source}: nothing was removed from {origin}")
    pairs = [(path, origin / path.relative_to(source)) for path in sorted(source.rglob("*"))]
    pairs = [(path, destination) for path, destination in pairs if not path.is_dir()]
    for path, destination in pairs:
        if os.path.lexists(destination):
            raise UsageError(
                f"{destination} exists, and {path} was removed from there; move one of them first"
            )
    for path, destination in pairs:
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, destination)
    for folder in sorted((p for p in source.rglob("*") if p.is_dir()), reverse=True):
        folder.rmdir()
    source.rmdir()
    return pairs


def write_clean_csv(origin: Path, removed: Iterable[str]) -> Path:
    """Write a CSV file's lines without those of some images to NAME.checked.csv, and return it.

    Raises:
        UsageError: there is such a file already.
    """
    out = set(removed)
    target = origin.with_name(f"{origin.stem}.checked.csv")
    if os.path.lexists(target):
        raise UsageError(f"{target} exists already; move it away, or check that file")
    with origin.open(encoding="utf-8-sig", newline="") as file:
        lines = list(file)  # as csv has them: a name may hold other ends of lines, such as U+2028
    reader = csv.reader(lines)
    kept, begin = [], 0
    for row in reader:
        if not row or os.path.normpath(row[0]).replace(os.sep, "/") not in out:
            kept += lines[begin : reader.line_num]
        begin = reader.line_num
    write_text(target, "".join(kept))
    return target
