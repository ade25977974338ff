"""Images decoded once, kept on disk as bytes of one size, and read row by row.

Decoding a photograph takes milliseconds, reading its resized bytes takes microseconds. A store is
a folder of shards, each a plain file of records uint8 (H, W, 3); memory stays the same whatever
the number of images. A shard appears whole or not at all, so that an interrupted run goes on after
the last one. The folder's name is a digest of the files (path, size, time of change), the size in
pixels and the resize rule: a changed image makes a new store.
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilenet_tf.data.image import load_image
from mobilenet_tf.data.index import ImageIndex
from mobilenet_tf.data.parallel import map_files, reason_of
from mobilenet_tf.errors import MtfError
from mobilenet_tf.files import atomic_path, check_space, nearest_folder, read_json, write_json
from mobilenet_tf.recipe import ResizeRule
from mobilenet_tf.system.terminal import bar, escape

log = logging.getLogger(__name__)
CACHE_FOLDER = "mobilenet_tf_images"  # in the folder of datasets
_FORMAT = 2  # changes with what the bytes of a record are
_SHARD_BYTES = 32 * 2**20
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
        rows = self.rows[key]
        records = np.atleast_1d(rows)
        images = np.empty((len(records), *self.shape[1:]), np.uint8)
        shards, places = np.divmod(records, _per_shard(self.resolution_px))
        for number in np.unique(shards).tolist():
            path = _shard(self.folder, number)
            try:
                with path.open("rb", buffering=0) as file:
                    for position in np.flatnonzero(shards == number).tolist():
                        file.seek(int(places[position]) * images[0].nbytes)
                        if file.readinto(images[position].data) != images[0].nbytes:
                            raise MtfError(f"{path} is cut off; remove {self.folder} and run again")
            except OSError as error:
                raise MtfError(
                    f"cannot read {path}: {error.strerror}; run again to decode the images anew"
                ) from error
        return images if np.ndim(rows) else images[0]


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
    key = f"{_FORMAT} {resolution_px} {rule} {index.fingerprint()}"
    folder = cache / hashlib.sha256(key.encode()).hexdigest()[:32]
    step, record_bytes = _per_shard(resolution_px), resolution_px * resolution_px * 3
    starts = [s for s in range(0, len(index), step) if not _shard(folder, s // step).is_file()]
    missing = [range(start, min(start + step, len(index))) for start in starts]
    needed_bytes = sum(map(len, missing)) * record_bytes
    if needed_bytes:
        log.info("decoding images once, to %.1f MB in %s", needed_bytes / 1e6, cache)
        else_do = "choose another folder with --data-dir, or a smaller model.resolution_px"
        check_space(check_writable(cache), needed_bytes, "the decoded images", else_do)
    noted = folder / "unreadable.json"
    reasons = read_json(noted, dict[int, str], f"remove {folder}") if noted.is_file() else {}
    reasons = {row: reason for row, reason in reasons.items() if row // step * step not in starts}
    load = partial(load_image, height_px=resolution_px, width_px=resolution_px, rule=rule)
    with bar("decoding images", sum(map(len, missing))) as advance:
        for rows in missing:
            images = map_files(load, map(index.path, rows))
            with atomic_path(_shard(folder, rows.start // step)) as temporary:
                with temporary.open("wb") as file:
                    for row, image in zip(rows, images, strict=True):
                        if isinstance(image, MtfError):
                            reasons[row] = reason_of(image, index.path(row))
                            file.write(bytes(record_bytes))
                        else:
                            file.write(image.data)
                if reasons:  # before the shard takes its name: it is never there without them
                    write_json(noted, reasons)
            advance(len(rows))
    check_unreadable(index, reasons, unreadable_share)
    readable = np.ones(len(index), bool)
    readable[list(reasons)] = False
    return StoredImages(folder, index.keep(readable), np.flatnonzero(readable), resolution_px)


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
    if len(reasons) > share * len(index):
        raise MtfError(
            f"{len(reasons)} of {len(index)} images in {index.origin} cannot be read, more than"
            f" {share:.1%}; the first: {named[0]}. `mtf data check {index.origin}` lists them, and"
            " data.unreadable_share allows more"
        )
    named += [f"and {len(reasons) - _NAMED} more"] if len(reasons) > _NAMED else []
    log.warning(
        "left out %d of %d images, which cannot be read: %s",
        len(reasons),
        len(index),
        "; ".join(named),
    )


def _per_shard(resolution_px: int) -> int:
    return max(1, _SHARD_BYTES // (resolution_px * resolution_px * 3))


def _shard(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.u8"


def check_writable(folder: Path) -> Path:
    """Return the folder in which another is or will be; refuse (MtfError) one that takes no files.

    Before images are read: what is learned of them could not be kept.
    """
    existing = nearest_folder(folder)
    if not os.access(existing, os.W_OK):
        raise MtfError(
            f"{existing} cannot be written to, and images are kept there; make it writable, or"
            " choose another folder with --data-dir"
        )
    return existing
