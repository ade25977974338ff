"""A folder of labelled images, or a CSV file that lists them, as an index; nothing is decoded.

A folder holds one folder for each class, or train/, validation/ and test/ with those inside; a
CSV file has the columns path, label and, where wanted, split, its paths relative to itself.
Hidden files are ignored, and a link that leads outside is refused.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mobilenet_tf.data.index import (
    IMAGE_SUFFIXES,
    PART_NAMES,
    PARTS,
    TRAIN,
    ImageIndex,
    is_image_name,
    make_index,
    natural_key,
)
from mobilenet_tf.errors import UsageError
from mobilenet_tf.system.terminal import escape

_LOOKED_AT = 5000  # entries, before a folder is said to hold no image
_WANTED = "wanted: FOLDER/CLASS/IMAGE, or FOLDER/train/CLASS/IMAGE beside validation/ and test/"


def index_images(origin: Path, *, to_train: bool = True) -> ImageIndex:
    """Return the index of a folder or of a CSV file; see `make_index` for `to_train`.

    Raises:
        UsageError: there is no such folder or file, or it is not laid out as described above; the
            message names the first thing that is not.
    """
    if origin.is_dir():
        return _Walk(origin, to_train).index()
    if not origin.exists():
        raise UsageError(f"{origin} does not exist; give a folder of images or a CSV file")
    if origin.suffix.lower() == ".csv":
        return _index_csv(origin, to_train)
    unpack = "; unpack it first" if origin.suffix.lower() in (".zip", ".tar", ".gz", ".tgz") else ""
    raise UsageError(f"{origin} is neither a folder nor a .csv file{unpack}. {_WANTED}")


def list_images(folder: Path) -> list[Path]:
    """Return every image file below a folder, whatever its layout, hidden ones aside.

    Links to folders are not followed.

    Raises:
        UsageError: there is no such folder.
        OSError: one may not be read.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; give one that holds images")
    found = []
    for place, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted((f for f in folders if not f.startswith(".")), key=natural_key)
        images = (n for n in names if is_image_name(n) and not n.startswith("."))
        found += [Path(place, name) for name in sorted(images, key=natural_key)]
    return found


def _raise(error: OSError) -> None:
    raise error


def holds_images(folder: Path) -> bool:
    """Say whether images lie in a folder, in its folders or in theirs, by a short look."""
    looked = 0
    for depth in ("*", "*/*", "*/*/*"):
        for path in folder.glob(depth):
            if is_image_name(path.name) and not path.name.startswith("."):
                return True
            looked += 1
            if looked > _LOOKED_AT:
                return False
    return False


@dataclass
class _Walk:
    """One walk through a folder: what was seen so far."""

    root: Path
    to_train: bool
    rows: list[tuple[str, str, int]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def index(self) -> ImageIndex:
        inside = self._folders("")
        split = {
            name: PART_NAMES[name.lower()]
            for name in inside
            if name.lower() in PART_NAMES and self._has_folders(name)
        }
        if split:
            self._check_parts(split, inside)
            for name, part in split.items():
                self._read_classes(f"{name}/", self._folders(f"{name}/"), part)
        else:
            self._read_classes("", inside, TRAIN)
        if not self.rows:
            raise UsageError(self._explain_nothing())
        return make_index(
            self.rows,
            root=self.root,
            origin=self.root,
            ignored=self.ignored,
            to_train=self.to_train,
        )

    def _read_classes(self, prefix: str, names: list[str], part: int) -> None:
        for name in names:
            before = len(self.rows)
            for file in self._files(f"{prefix}{name}/"):
                self.rows.append((f"{prefix}{name}/{file}", name, part))
            if self.to_train and part == TRAIN and len(self.rows) == before:
                raise UsageError(
                    f"{escape(str(self.root / prefix / name))} holds no image"
                    f" ({', '.join(sorted(IMAGE_SUFFIXES))}); add some or remove that folder."
                    f" {_WANTED}"
                )

    def _files(self, folder: str) -> Iterator[str]:
        """Yield the names of the images in a class's folder, sorted."""
        names = []
        for entry in self._entries(folder):
            if entry.is_dir():
                self._refuse_nested(folder, entry.name)
            if is_image_name(entry.name) and entry.is_file():
                names.append(entry.name)
            else:
                self.ignored.append(folder + entry.name)
        return iter(sorted(names, key=natural_key))

    def _folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder; what else lies there is ignored."""
        names = []
        for entry in self._entries(folder):
            if entry.is_dir():
                names.append(entry.name)
            else:
                self.ignored.append(folder + entry.name)
        return sorted(names, key=natural_key)

    def _has_folders(self, folder: str) -> bool:
        return any(entry.is_dir() for entry in self._entries(f"{folder}/"))

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self.root / folder) as entries:
            for entry in entries:
                if entry.name.startswith((".", "__MACOSX")):
                    continue
                if entry.is_symlink():
                    _refuse_outside(entry.path, self.root)
                yield entry

    def _check_parts(self, split: dict[str, int], inside: list[str]) -> None:
        beside = [name for name in inside if name not in split]
        if beside:
            raise UsageError(
                f"{self.root} holds {escape(beside[0])}/ beside {next(iter(split))}/, so it is"
                f" unclear which are classes; {_WANTED}"
            )
        for part, title in enumerate(PARTS):
            names = [name for name, its in split.items() if its == part]
            if len(names) > 1:
                raise UsageError(
                    f"{self.root} holds {names[0]}/ and {names[1]}/, both for {title}; merge them"
                )
            if self.to_train and part == TRAIN and not names:
                raise UsageError(
                    f"{self.root} holds {', '.join(split)} without train/; add train/ with the"
                    " training images of each class"
                )

    def _refuse_nested(self, folder: str, name: str) -> None:
        here = self.root / folder
        meant = here.parent if here.parent != self.root else here
        raise UsageError(
            f"{escape(str(here / name))} is a folder inside the folder of a class; {_WANTED}. Move"
            f" its images up, list them in a CSV file (path,label), or give {escape(str(meant))}"
            " if that is the folder that you mean"
        )

    def _explain_nothing(self) -> str:
        loose = [name for name in sorted(self.ignored) if is_image_name(name)]
        if loose:
            return (
                f"{self.root} holds images without folders, such as {escape(loose[0])}: their"
                f" classes are unknown; {_WANTED}"
            )
        tables = [name for name in self.ignored if name.lower().endswith(".csv")]
        if tables:
            return f"{self.root} holds no folder of images; do you mean {self.root / tables[0]}?"
        return f"{self.root} holds no folder of images; {_WANTED}"


def _refuse_outside(path: str, root: Path) -> None:
    target, inside = os.path.realpath(path), _real(str(root))
    if target != inside and not target.startswith(inside.rstrip(os.sep) + os.sep):
        raise UsageError(
            f"{escape(path)} leads outside {root}, to {escape(target)}; copy it there instead"
        )


@cache
def _real(path: str) -> str:
    return os.path.realpath(path)


def _index_csv(origin: Path, to_train: bool) -> ImageIndex:
    """Return the index of the images that a CSV file lists."""
    try:
        with origin.open(encoding="utf-8-sig", errors="strict", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name.strip().lower() for name in reader.fieldnames or ()]
            if columns not in (["path", "label"], ["path", "label", "split"]):
                raise UsageError(
                    f"{origin} begins with {escape(','.join(columns)) or 'nothing'!r}; its first"
                    " line must be path,label or path,label,split"
                )
            reader.fieldnames = columns
            lines = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{origin} is not a CSV file in UTF-8 ({error}); save it as one"
        ) from error
    rows = [_read_row(origin, number, row) for number, row in lines]
    _check_files(origin, [(number, row[0]) for (number, _), row in zip(lines, rows, strict=True)])
    with_split = [bool((row.get("split") or "").strip()) for _, row in lines]
    if any(with_split) and not all(with_split):
        number = lines[with_split.index(False)][0]
        raise UsageError(f"{origin}, line {number}: no split, and other lines have one; fill it in")
    return make_index(rows, root=origin.parent, origin=origin, to_train=to_train)


def _read_row(origin: Path, number: int, row: dict[str, str]) -> tuple[str, str, int]:
    where = f"{origin}, line {number}"
    if None in row or None in row.values():
        raise UsageError(f"{where}: not as many values as the first line has; quote commas")
    label, split = row["label"].strip(), (row.get("split") or "train").strip().lower()
    if not row["path"] or not label:
        raise UsageError(f"{where}: the {'label' if row['path'] else 'path'} is empty; fill it in")
    if split not in PART_NAMES:
        raise UsageError(f"{where}: the split is {escape(split)!r}; use {', '.join(PARTS)}")
    path = os.path.normpath(row["path"])
    if os.path.isabs(path) or path.split(os.sep)[0] == "..":
        raise UsageError(
            f"{where}: {escape(row['path'])} lies outside {origin.parent}; paths are relative to"
            " the CSV file"
        )
    return path.replace(os.sep, "/"), label, PART_NAMES[split]


def _check_files(origin: Path, paths: list[tuple[int, str]]) -> None:
    """Refuse paths that do not exist, occur twice or lead outside; one look at each folder."""
    root = origin.parent
    folders: dict[str, dict[str, os.DirEntry[str]]] = {}
    first: dict[str, int] = {}
    missing = []
    for number, path in paths:
        if first.setdefault(path, number) != number:
            raise UsageError(
                f"{origin}, line {number}: {escape(path)} is in line {first[path]} already;"
                " keep one of them"
            )
        folder, _, name = path.rpartition("/")
        if folder not in folders:
            folders[folder] = _list_folder(root, folder)
        entry = folders[folder].get(name)
        if entry is None or not entry.is_file():
            missing.append((number, path))
        elif entry.is_symlink():
            _refuse_outside(entry.path, root)
    if missing:
        number, path = missing[0]
        raise UsageError(
            f"{origin}, line {number}: there is no file {escape(str(root / path))}"
            f" ({len(missing)} of {len(paths)} are missing); correct the paths, which are relative"
            " to the CSV file, or remove the lines"
        )


def _list_folder(root: Path, folder: str) -> dict[str, os.DirEntry[str]]:
    where = root / folder
    if not where.is_dir():
        return {}
    _refuse_outside(str(where), root)
    with os.scandir(where) as entries:
        return {entry.name: entry for entry in entries}
