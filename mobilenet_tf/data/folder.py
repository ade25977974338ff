"""A folder of labelled images, or a CSV file that lists them, as an index; nothing is decoded.

A folder holds one folder for each class, or train/, validation/ and test/ with those inside; a
CSV file has the columns path, label and, where wanted, split, its paths relative to itself.
Hidden files are ignored, and a link that leads outside is refused.
"""

from __future__ import annotations

import csv
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np

from mobilenet_tf.data.index import PART_NAMES, PARTS, TEST, TRAIN, VALIDATION, ImageIndex
from mobilenet_tf.errors import UsageError, name_some
from mobilenet_tf.system.terminal import escape

CLASSES_MAX = 10_000
IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
)
UNREAD_SUFFIXES = frozenset(  # of pictures that nothing here decodes
    (".heic", ".heif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".psd")
)
ARCHIVES = (".zip", ".tar", ".gz", ".tgz")
Row = tuple[str, str, int]  # path, class, part
_HIDDEN = (".", "__MACOSX")
_LOOKED_AT = 5000  # entries, before a folder is said to hold no image
_NAMED = 3
_WANTED = "wanted: FOLDER/CLASS/IMAGE, or FOLDER/train/CLASS/IMAGE beside validation/ and test/"


def index_images(origin: Path, *, to_train: bool = True) -> ImageIndex:
    """Return the index of a folder or of a CSV file, its classes in natural order.

    What only training needs, two classes with training images of each, is asked for `to_train`.

    Raises:
        UsageError: there is no such folder or file, or it is not laid out as described above, or
            its classes cannot be told apart; the message names the first thing that is wrong.
    """
    if origin.is_dir():
        root, (rows, ignored) = origin, _read_folder(origin, to_train)
    elif not origin.exists():
        raise UsageError(f"{origin} does not exist; give a folder of images or a CSV file")
    elif origin.suffix.lower() == ".csv":
        root, (rows, ignored) = origin.parent, (_read_csv(origin), [])
    else:
        unpack = "; unpack it first" if origin.suffix.lower() in ARCHIVES else ""
        raise UsageError(f"{origin} is neither a folder nor a .csv file{unpack}. {_WANTED}")
    names = {name for _, name, _ in rows}
    _check_names(names, origin, least=2 if to_train else 1)
    trained = {name for _, name, part in rows if part == TRAIN}
    for part in (VALIDATION, TEST) if to_train else ():
        unknown = {name for _, name, its in rows if its == part} - trained
        if unknown:
            listed = name_some(list(map(escape, sorted(unknown, key=natural_key))), _NAMED)
            raise UsageError(
                f"{origin}: {PARTS[part]} has {listed}, and no training image shows that;"
                " add training images or take it out"
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
        folders[:] = sorted((f for f in folders if not f.startswith(_HIDDEN)), key=natural_key)
        images = (name for name in names if is_image_name(name))
        found += [Path(place, name) for name in sorted(images, key=natural_key)]
    return found


def _raise(error: OSError) -> NoReturn:
    raise error


def holds_images(folder: Path) -> bool:
    """Say whether images lie in a folder, in its folders or in theirs, by a short look."""
    looked = 0
    for depth in ("*", "*/*", "*/*/*"):
        for path in folder.glob(depth):
            if is_image_name(path.name):
                return True
            looked += 1
            if looked > _LOOKED_AT:
                return False
    return False


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a key that sorts as people count: class2 before class10, whatever the case."""
    pieces = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in pieces if p], name


def is_image_name(name: str) -> bool:
    """Say whether a file's name ends as images' names do; hidden ones are none."""
    return _suffix(name) in IMAGE_SUFFIXES and not name.startswith(_HIDDEN)


def is_unread_picture(name: str) -> bool:
    """Say whether a file's name ends as those of pictures do that are left out."""
    return _suffix(name) in UNREAD_SUFFIXES


def _suffix(name: str) -> str:
    return name[name.rfind(".") :].lower()


def _check_names(names: Iterable[str], origin: Path, least: int) -> None:
    """Refuse classes that no labels file can hold, or that a person cannot tell apart."""
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
        if not name.isprintable() or name != name.strip():
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


def _read_folder(root: Path, to_train: bool) -> tuple[list[Row], list[str]]:
    """Return the rows of a folder, and the files in it that are ignored."""
    tops = [name for name, entry in _list_entries(root) if entry.is_dir()]
    parts = {name: PART_NAMES[name.lower()] for name in tops if name.lower() in PART_NAMES}
    holding = (name for name in parts if any(e.is_dir() for _, e in _list_entries(root, name)))
    parts = {name: parts[name] for name in holding}
    if parts:
        _check_parts(root, parts, tops, to_train)
    depth = 2 if parts else 1  # of what lies in the folder of a class
    rows: list[Row] = []
    empty: dict[str, None] = {}
    ignored = []
    for path, entry in _walk(root, depth):
        *above, name = path.split("/")
        if len(above) == depth and entry.is_dir():
            _refuse_nested(root / path)
        elif len(above) == depth and is_image_name(name) and entry.is_file():
            rows.append((path, above[-1], parts.get(above[0], TRAIN)))
            empty.pop("/".join(above), None)
        elif not entry.is_dir():
            ignored.append(path)
        elif len(above) == depth - 1 and parts.get(path.split("/")[0], TRAIN) == TRAIN:
            empty[path] = None
    if not rows and not empty:
        raise UsageError(_explain_nothing(root, ignored))
    if empty and (to_train or not rows):
        raise UsageError(
            f"{escape(str(root / next(iter(empty))))} holds no image"
            f" ({', '.join(sorted(IMAGE_SUFFIXES))}, hidden files aside); add some or remove that"
            f" folder. {_WANTED}"
        )
    return rows, ignored


def _walk(root: Path, depth: int, inside: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield what lies in a folder, and in its folders as deep as `depth` says."""
    for path, entry in _list_entries(root, inside):
        yield path, entry
        if depth and entry.is_dir():
            yield from _walk(root, depth - 1, path)


def _list_entries(root: Path, inside: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield what lies in a folder below `root`, by its path from there, in natural order."""
    with os.scandir(root / inside) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(_HIDDEN)]
    for entry in sorted(shown, key=lambda entry: natural_key(entry.name)):
        if entry.is_symlink():
            _refuse_outside(entry.path, root)
        yield f"{inside}/{entry.name}" if inside else entry.name, entry


def _check_parts(root: Path, parts: dict[str, int], tops: list[str], to_train: bool) -> None:
    beside = [name for name in tops if name not in parts]
    for name in beside:
        if name.lower() in PART_NAMES:
            raise UsageError(
                f"{root / name} holds no folder of a class, beside {next(iter(parts))}/ that does;"
                " fill it or remove it"
            )
    if beside:
        raise UsageError(
            f"{root} holds {escape(beside[0])}/ beside {next(iter(parts))}/, so it is unclear which"
            f" are classes; {_WANTED}"
        )
    for part, title in enumerate(PARTS):
        names = [name for name, its in parts.items() if its == part]
        if len(names) > 1:
            raise UsageError(
                f"{root} holds {names[0]}/ and {names[1]}/, both for {title}; merge them"
            )
        if to_train and part == TRAIN and not names:
            raise UsageError(
                f"{root} holds {', '.join(parts)} without train/; add train/ with the training"
                " images of each class"
            )


def _refuse_nested(folder: Path) -> NoReturn:
    instead = "move its images up, or list them in a CSV file (path,label)"
    for image in list_images(folder)[:1]:
        meant = escape(str(image.parent.parent))
        instead += f", or give {meant} if that is the folder that you mean"
    raise UsageError(
        f"{escape(str(folder))} is a folder inside the folder of a class; {_WANTED}; {instead}"
    )


def _explain_nothing(root: Path, ignored: list[str]) -> str:
    loose = [path for path in ignored if is_image_name(path)]
    if loose:
        return (
            f"{root} holds images without folders, such as {escape(loose[0])}: their classes are"
            f" unknown; {_WANTED}"
        )
    tables = [path for path in ignored if path.lower().endswith(".csv")]
    if tables:
        return f"{root} holds no folder of images; do you mean {escape(str(root / tables[0]))}?"
    return f"{root} holds no folder of images; {_WANTED}"


def _refuse_outside(path: str, root: Path) -> None:
    target, inside = os.path.realpath(path), os.path.realpath(root)
    if os.path.commonpath([target, inside]) != inside:
        raise UsageError(
            f"{escape(path)} leads outside {root}, to {escape(target)}; copy it there instead"
        )


def _read_csv(origin: Path) -> list[Row]:
    """Return the rows of a CSV file whose images all exist."""
    try:
        with origin.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            columns = [name.strip().lower() for name in next(reader, ())]
            lines = [(reader.line_num, values) for values in reader if values]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{origin} is not a CSV file in UTF-8 ({error}); save it as one"
        ) from error
    if columns not in (["path", "label"], ["path", "label", "split"]):
        raise UsageError(
            f"{origin} begins with {escape(','.join(columns))!r}; its first line must be path,label"
            " or path,label,split"
        )
    if not lines:
        raise UsageError(f"{origin} names no image; give some of each class")
    first: dict[str, int] = {}
    rows = []
    for number, values in lines:
        where = f"{origin}, line {number}"
        if len(values) != len(columns):
            raise UsageError(f"{where}: not as many values as the first line has; quote commas")
        path, label, part = _read_row(where, values, origin.parent)
        if first.setdefault(path, number) != number:
            raise UsageError(
                f"{where}: {escape(path)} is in line {first[path]} already; keep one of them"
            )
        rows.append((path, label, part))
    unsplit = [number for number, (_, _, *split) in lines if not any(map(str.strip, split))]
    if len(columns) == 3 and 0 < len(unsplit) < len(lines):
        raise UsageError(
            f"{origin}, line {unsplit[0]}: no split, and other lines have one; fill it in"
        )
    _check_files(origin, first)
    return rows


def _read_row(where: str, values: list[str], root: Path) -> Row:
    path, label, *split = values[0], *map(str.strip, values[1:])
    part = next(iter(split), "").lower() or "train"
    if not path or not label:
        raise UsageError(f"{where}: the {'label' if path else 'path'} is empty; fill it in")
    if part not in PART_NAMES:
        raise UsageError(f"{where}: the split is {escape(part)!r}; use {', '.join(PARTS)}")
    normal = os.path.normpath(path)
    if os.path.isabs(normal) or normal.split(os.sep)[0] == "..":
        raise UsageError(
            f"{where}: {escape(path)} lies outside {root}; paths are relative to the CSV file"
        )
    return normal.replace(os.sep, "/"), label, PART_NAMES[part]


def _check_files(origin: Path, lines: dict[str, int]) -> None:
    """Refuse paths that do not exist or lead outside; `lines` says where each is named."""
    root = origin.parent
    missing = [path for path in lines if not os.path.isfile(root / path)]
    if missing:
        raise UsageError(
            f"{origin}, line {lines[missing[0]]}: there is no file"
            f" {escape(str(root / missing[0]))} ({len(missing)} of {len(lines)} are missing);"
            " correct the paths, which are relative to the CSV file, or remove the lines"
        )
    for folder in {os.path.dirname(path) for path in lines}:
        _refuse_outside(os.path.join(root, folder), root)
    for path in lines:
        if os.path.islink(root / path):
            _refuse_outside(os.path.join(root, path), root)
