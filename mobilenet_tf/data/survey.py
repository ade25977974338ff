"""One look at every image of an index: can it be read, what is it like, which others look alike.

Two images are near-duplicates when their perceptual hashes (64 bits of the cosine transform,
imagehash's phash) differ in at most `HASH_DISTANCE` bits and their thumbnails of 8x8 pixels in at
most `COLOUR_DISTANCE` levels on average: the hash alone ignores colour. Saving again, scaling and
small changes of brightness are found; other crops and turns are not. An image of one colour is
like no other.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilenet_tf.data.image import TURNED, fit_image, open_image, to_rgb
from mobilenet_tf.data.index import ImageIndex
from mobilenet_tf.data.parallel import map_files, reason_of
from mobilenet_tf.errors import MtfError
from mobilenet_tf.system.terminal import track

HASH_DISTANCE = 6
COLOUR_DISTANCE = 8.0
FLAT_RANGE = 4  # levels within a thumbnail; below it an image shows nothing
_HASH_SIDE_PX = 128  # more than the 32 that the perceptual hash looks at
_BIT_COUNT = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
_NEIGHBOURS_MAX = 1000  # in one bucket of hashes; thousands of equal images are linked in a chain
_LOOK = np.dtype(
    [
        ("size", np.int32, 2),  # width and height of the upright image in pixels
        ("mode", "U8"),  # Pillow's name of its colour mode
        ("turned", bool),  # EXIF says that it is to be turned
        ("digest", np.uint64, 2),  # of the file: half of its SHA-256
        ("hash", np.uint64),  # perceptual
        ("thumbnail", np.uint8, (8, 8, 3)),
    ]
)


@dataclass(frozen=True, eq=False)
class Survey:
    """What one look at N images showed.

    `looks` (N,) has a field for each thing that was seen, zeros where there is no image; `reasons`
    says of the rows that cannot be read why not.
    """

    index: ImageIndex
    looks: NDArray[np.void]
    reasons: dict[int, str]

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Which rows hold an image, bool (N,)."""
        readable = np.ones(len(self.index), bool)
        readable[list(self.reasons)] = False
        return readable

    @property
    def flat(self) -> NDArray[np.bool_]:
        """Which images show one colour and nothing else, bool (N,)."""
        ranges = np.ptp(self.looks["thumbnail"], axis=(1, 2)).max(axis=1)
        return np.asarray(self.readable & (ranges < FLAT_RANGE))

    @cached_property
    def exact_pairs(self) -> NDArray[np.int64]:
        """Pairs (one, other) of rows whose files are equal byte for byte, int64 (P, 2).

        One of all that are equal stands for them: the first in the part nearest to measuring, test
        before validation before training.
        """
        rows = np.flatnonzero(self.readable)
        rows = rows[np.argsort(-self.index.parts[rows], kind="stable")]
        digests = self.looks["digest"][rows]
        _, firsts, groups = np.unique(digests, axis=0, return_index=True, return_inverse=True)
        first = rows[firsts[groups.ravel()]]
        return np.stack([first, rows], axis=1)[first != rows]

    @cached_property
    def near_pairs(self) -> NDArray[np.int64]:
        """Pairs of rows that look alike, equal files included once, int64 (P, 2), ascending.

        Hashes that differ in at most d bits are equal in one of d + 1 bands of their bits, so only
        what is equal in a band is compared.
        """
        distinct = self.readable & ~self.flat
        distinct[self.exact_pairs[:, 1]] = False
        rows = np.flatnonzero(distinct)
        hashes = self.looks["hash"][rows]
        edges = np.linspace(0, 64, HASH_DISTANCE + 2).astype(int)
        pairs = [self.exact_pairs]
        for low, high in itertools.pairwise(edges):
            band = hashes & np.uint64((1 << int(high)) - (1 << int(low)))
            order = np.lexsort((hashes, band))
            band, ordered = band[order], rows[order]
            active = np.arange(len(rows))
            for step in range(1, _NEIGHBOURS_MAX):
                active = active[active < len(rows) - step]
                active = active[band[active] == band[active + step]]
                if not active.size:
                    break
                pairs.append(self._keep_alike(ordered[active], ordered[active + step]))
        return np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)

    @property
    def groups(self) -> NDArray[np.int64]:
        """The number of each row's group of near-duplicates, int64 (N,)."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        (left, right), count = self.near_pairs.T, len(self.index)
        links = coo_array((np.ones(len(left)), (left, right)), shape=(count, count))
        return np.asarray(connected_components(links, directed=False)[1], np.int64)

    def _keep_alike(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
        one, other = self.looks[left], self.looks[right]
        bits = _BIT_COUNT[(one["hash"] ^ other["hash"]).view(np.uint8).reshape(-1, 8)].sum(axis=1)
        levels = np.abs(one["thumbnail"].astype(np.int16) - other["thumbnail"]).mean(axis=(1, 2, 3))
        alike = (bits <= HASH_DISTANCE) & (levels <= COLOUR_DISTANCE)
        return np.stack([left[alike], right[alike]], axis=1)


def survey_images(index: ImageIndex) -> Survey:
    """Decode every image of an index once, in threads and with a progress bar."""
    looks = np.zeros(len(index), _LOOK)
    reasons: dict[int, str] = {}
    seen = map_files(_look, map(index.path, range(len(index))))
    for row, look in zip(track(range(len(index)), "reading images"), seen, strict=True):
        if isinstance(look, MtfError):
            reasons[row] = reason_of(look, index.path(row))
        else:
            looks[row] = look
    return Survey(index, looks, reasons)


def _look(path: Path) -> tuple[Any, ...]:
    """Return the fields of a look."""
    import imagehash

    digest = np.frombuffer(hashlib.sha256(path.read_bytes()).digest()[:16], np.uint64)
    with open_image(path) as image:
        small = fit_image(to_rgb(image, path), _HASH_SIDE_PX, _HASH_SIDE_PX, "stretch")
        bits = np.packbits(imagehash.phash(small).hash).view(np.uint64)[0]
        thumbnail = np.asarray(fit_image(small, 8, 8))
        return image.size, image.mode, image.info[TURNED], digest, bits, thumbnail
