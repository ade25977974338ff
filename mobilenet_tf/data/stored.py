"""Images decoded once, kept on disk as bytes of one size, and read row by row.

Decoding a photograph takes milliseconds, reading its resized bytes takes microseconds. A store is
a folder of shards, each a plain file of records uint8 (H, W, 3); memory stays the same whatever
the number of images. A shard appears whole or not at all, so that an interrupted run goes on after
the last one. The folder's name is a digest of the files (path, size, time of change), the size in
pixels and the resize rule: a changed image makes a new store.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilenet_tf.data.image import load_image
from mobilenet_tf.data.index import ImageIndex
from mobilenet_tf.data.parallel import map_in_threads
from mobilenet_tf.errors import MtfError
from mobilenet_tf.files import atomic_path, write_text
from mobilenet_tf.recipe import ResizeRule
from mobilenet_tf.system.terminal import bar, escape

log = logging.getLogger(__name__)
CACHE_FOLDER = "mobilenet_tf_images"  # in the folder of datasets
_FORMAT = 1  # changes with what the bytes of a record are
_SHARD_BYTES = 32 * 2**20
_SPARE_BYTES = 2**30  # stays free on the disk
_NAMED = 5


@dataclass(frozen=True, eq=False)
class StoredImages:
    """Images on disk that are used like an array uint8 (N, H, W, 3): indexing reads them.

    `rows` are the records, int64 (N,), in the shards of `folder`; `index` says what they show.
    """

    folder: Path
    index: ImageIndex
    rows: NDArray[np.int64]
    resolution_px: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of all images together."""
        return len(self.rows), self.resolution_px, self.resolution_px, 3

    @property
    def ndim(self) -> int:
        """The number of dimensions, 4."""
        return 4

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """The type of the values, uint8."""
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Read one image (an int) or several (a slice, or an array of positions or bools).

        Raises:
            MtfError: the store has been removed or damaged meanwhile.
        """
        records = self.rows[key]
        images = _read_records(self.folder, np.atleast_1d(records), self.resolution_px)
        return images if np.ndim(records) else images[0]


def store_images(
    index: ImageIndex,
    *,
    resolution_px: int,
    rule: ResizeRule,
    cache: Path,
    unreadable_share: float,
) -> StoredImages:
    """Decode the images of an index into a store below `cache`.

    What has been stored already is used. An image that cannot be read is left out, and named in
    the log.

    Raises:
        MtfError: more than `unreadable_share` of the images cannot be read, or the disk is full.
    """
    folder = cache / store_key(index, resolution_px, rule)
    record_bytes = resolution_px * resolution_px * 3
    per_shard = records_per_shard(resolution_px)
    starts = range(0, len(index), per_shard)
    missing = [start for start in starts if not _shard(folder, start // per_shard).is_file()]
    _check_space(cache, sum(min(per_shard, len(index) - s) for s in missing) * record_bytes)
    load = partial(_load, side_px=resolution_px, rule=rule)
    rows = [range(start, min(start + per_shard, len(index))) for start in missing]
    with bar("decoding images", sum(map(len, rows))) as advance:
        for these in rows:
            images = map_in_threads(load, map(index.path, these))
            _write_shard(folder, these.start // per_shard, images, record_bytes)
            advance(len(these))
    reasons = {
        start + int(row): reason
        for start in starts
        for row, reason in _read_reasons(folder, start // per_shard).items()
    }
    check_unreadable(index, reasons, unreadable_share)
    readable = np.ones(len(index), bool)
    readable[list(reasons)] = False
    return StoredImages(folder, index.keep(readable), np.flatnonzero(readable), resolution_px)


def store_key(index: ImageIndex, resolution_px: int, rule: ResizeRule) -> str:
    """Return the digest that a store of these images is named by."""
    digest = hashlib.sha256(f"{_FORMAT} {resolution_px} {rule}\n".encode())
    for row, path in enumerate(index.paths):
        digest.update(os.fsencode(path) + _state(index.path(row)))
    return digest.hexdigest()[:32]


def records_per_shard(resolution_px: int) -> int:
    """Return how many images of a resolution one shard holds."""
    return max(1, _SHARD_BYTES // (resolution_px * resolution_px * 3))


def check_unreadable(index: ImageIndex, reasons: dict[int, str], share: float) -> None:
    """Name the images that cannot be read.

    Raises:
        MtfError: they are more than `share` of all.
    """
    if not reasons:
        return
    named = [
        f"{escape(str(index.path(row)))} {escape(reason)}"
        for row, reason in sorted(reasons.items())[:_NAMED]
    ]
    more = f"\nand {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    if len(reasons) > share * len(index):
        raise MtfError(
            f"{len(reasons)} of {len(index)} images in {index.origin} cannot be read, more than"
            f" {share:.1%}; the first: {named[0]}. `mtf data check {index.origin}` lists them, and"
            " data.unreadable_share allows more"
        )
    log.warning(
        "left out %d of %d images, which cannot be read:\n%s",
        len(reasons),
        len(index),
        "\n".join(named) + more,
    )


def _state(path: Path) -> bytes:
    try:
        state = path.stat()
    except OSError:
        return b" gone\n"
    return f" {state.st_size} {state.st_mtime_ns}\n".encode()


def _shard(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.u8"


def _reasons_file(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.json"


def _load(path: Path, side_px: int, rule: ResizeRule) -> NDArray[np.uint8] | str:
    """Return the image in a file, or why it cannot be read."""
    try:
        return load_image(path, side_px, side_px, rule)
    except MtfError as error:
        return str(error).removeprefix(f"{path} ")
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _write_shard(
    folder: Path, number: int, images: Iterable[NDArray[np.uint8] | str], record_bytes: int
) -> None:
    """Write one shard; what cannot be read holds zeros, and its reason stands beside the shard."""
    reasons = {}
    with atomic_path(_shard(folder, number)) as temporary:
        with temporary.open("wb") as file:
            for row, image in enumerate(images):
                if isinstance(image, str):
                    reasons[row] = image
                    file.write(bytes(record_bytes))
                else:
                    file.write(image.data)
        if reasons:  # before the shard takes its name: it is never there without them
            write_text(_reasons_file(folder, number), json.dumps(reasons))


def _read_reasons(folder: Path, number: int) -> dict[str, str]:
    path = _reasons_file(folder, number)
    reasons: dict[str, str] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return reasons


def _read_records(
    folder: Path, records: NDArray[np.int64], resolution_px: int
) -> NDArray[np.uint8]:
    """Return the records uint8 (len(records), R, R, 3), each shard opened once."""
    images = np.empty((len(records), resolution_px, resolution_px, 3), np.uint8)
    per_shard, record_bytes = records_per_shard(resolution_px), images[:1].nbytes
    shards, places = np.divmod(records, per_shard)
    for number in np.unique(shards).tolist():
        path = _shard(folder, number)
        try:
            with path.open("rb", buffering=0) as file:
                for position in np.flatnonzero(shards == number).tolist():
                    file.seek(int(places[position]) * record_bytes)
                    read = file.readinto(images[position].data)
                    if read != record_bytes:
                        raise MtfError(f"{path} is cut off; remove {folder} and run again")
        except OSError as error:
            raise MtfError(
                f"cannot read {path}: {error.strerror}; run again to decode the images anew"
            ) from error
    return images


def _check_space(cache: Path, needed_bytes: int) -> None:
    """Say how much will be written, and refuse what does not fit."""
    if not needed_bytes:
        return
    existing = next(folder for folder in (cache, *cache.absolute().parents) if folder.is_dir())
    free_bytes = shutil.disk_usage(existing).free
    log.info("decoding images once, to %.1f MB in %s", needed_bytes / 1e6, cache)
    if needed_bytes > free_bytes - _SPARE_BYTES:
        raise MtfError(
            f"the decoded images need {needed_bytes / 1e9:.1f} GB in {cache}, where"
            f" {free_bytes / 1e9:.1f} GB are free; free some, choose another folder with"
            " --data-dir, or a smaller model.resolution_px"
        )
