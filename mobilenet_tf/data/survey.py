"""One look at every image of an index: can it be read, what is it like, which others look alike."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilenet_tf.data.image import TURNED, fit_image, open_image, to_rgb
from mobilenet_tf.data.index import ImageIndex
from mobilenet_tf.data.parallel import map_in_threads
from mobilenet_tf.errors import MtfError
from mobilenet_tf.system.terminal import track

THUMBNAIL_PX = 8
_HASH_SIDE_PX = 128  # more than the 32 that the perceptual hash looks at


@dataclass(frozen=True, eq=False)
class Survey:
    """What one look at N images showed.

    `reasons` says of rows that cannot be read why not. `sizes` int32 (N, 2), width and height of
    the upright image in pixels; `modes` Pillow's names of colour modes; `turned` bool (N,), EXIF
    says that the image is to be turned; `digests` SHA-256 of the files; `hashes` uint64 (N,), the
    perceptual hash; `thumbnails` uint8 (N, 8, 8, 3). Rows without an image hold zeros.
    """

    index: ImageIndex
    reasons: dict[int, str]
    sizes: NDArray[np.int32]
    modes: tuple[str, ...]
    turned: NDArray[np.bool_]
    digests: tuple[bytes, ...]
    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8]

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Which rows hold an image, bool (N,)."""
        readable = np.ones(len(self.index), bool)
        readable[list(self.reasons)] = False
        return readable


@dataclass(frozen=True)
class _Look:
    reason: str = ""
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    turned: bool = False
    digest: bytes = b""
    hash: int = 0
    thumbnail: NDArray[np.uint8] | None = None


def survey_images(index: ImageIndex) -> Survey:
    """Decode every image of an index once, in threads and with a progress bar."""
    count = len(index)
    reasons: dict[int, str] = {}
    sizes, turned = np.zeros((count, 2), np.int32), np.zeros(count, bool)
    hashes = np.zeros(count, np.uint64)
    thumbnails = np.zeros((count, THUMBNAIL_PX, THUMBNAIL_PX, 3), np.uint8)
    modes, digests = [], []
    looks = map_in_threads(_look, map(index.path, range(count)))
    for row, look in zip(track(range(count), "reading images"), looks, strict=True):
        modes.append(look.mode)
        digests.append(look.digest)
        if look.thumbnail is None:
            reasons[row] = look.reason
            continue
        sizes[row], turned[row], hashes[row] = look.size, look.turned, look.hash
        thumbnails[row] = look.thumbnail
    return Survey(index, reasons, sizes, tuple(modes), turned, tuple(digests), hashes, thumbnails)


def _look(path: Path) -> _Look:
    import imagehash

    try:
        digest = hashlib.sha256(path.read_bytes()).digest()
        with open_image(path) as image:
            rgb = to_rgb(image, path)
            small = fit_image(rgb, _HASH_SIDE_PX, _HASH_SIDE_PX, "stretch")
            bits = imagehash.phash(small).hash.ravel()
            thumbnail = np.asarray(fit_image(small, THUMBNAIL_PX, THUMBNAIL_PX))
            turned = bool(image.info.get(TURNED))
            return _Look("", rgb.size, image.mode, turned, digest, _pack(bits), thumbnail)
    except MtfError as error:
        return _Look(str(error).removeprefix(f"{path} "))
    except OSError as error:
        return _Look(f"cannot be read: {error.strerror}")


def _pack(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
