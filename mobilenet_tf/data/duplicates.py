"""Which images are the same, or nearly: found from a survey, without comparing all with all.

Two images are near-duplicates when their perceptual hashes (64 bits of the cosine transform,
imagehash's phash) differ in at most `HASH_DISTANCE` bits and their thumbnails of 8x8 pixels in at
most `COLOUR_DISTANCE` levels on average: the hash alone ignores colour. Saving again, scaling and
small changes of brightness are found; other crops and turns are not. An image of one colour is
like no other.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from mobilenet_tf.data.survey import Survey

HASH_DISTANCE = 6
COLOUR_DISTANCE = 8.0
FLAT_RANGE = 4  # levels within a thumbnail; below it an image shows nothing
_BIT_COUNT = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
_NEIGHBOURS_MAX = 1000  # in one bucket of hashes; thousands of equal images are linked in a chain


def find_exact_pairs(survey: Survey) -> NDArray[np.int64]:
    """Return pairs (first, later) of rows whose files are equal byte for byte, int64 (P, 2)."""
    first: dict[bytes, int] = {}
    pairs = []
    for row in np.flatnonzero(survey.readable).tolist():
        earlier = first.setdefault(survey.digests[row], row)
        if earlier != row:
            pairs.append((earlier, row))
    return np.array(pairs, np.int64).reshape(-1, 2)


def find_near_pairs(survey: Survey) -> NDArray[np.int64]:
    """Return pairs of rows that look alike, equal files included once, int64 (P, 2), ascending.

    Hashes that differ in at most d bits are equal in one of d + 1 bands of their bits, so only
    what is equal in a band is compared.
    """
    exact = find_exact_pairs(survey)
    distinct = survey.readable & ~is_flat(survey)
    distinct[exact[:, 1]] = False
    rows = np.flatnonzero(distinct)
    hashes = survey.hashes[rows]
    edges = np.linspace(0, 64, HASH_DISTANCE + 2).astype(int)
    pairs = [exact]
    for low, high in itertools.pairwise(edges):
        mask = np.uint64((1 << int(high)) - (1 << int(low)))
        band = hashes & mask
        order = np.lexsort((hashes, band))
        band, ordered = band[order], rows[order]
        active = np.arange(len(rows))
        for step in range(1, _NEIGHBOURS_MAX):
            active = active[active < len(rows) - step]
            active = active[band[active] == band[active + step]]
            if not active.size:
                break
            pairs.append(_keep_alike(survey, ordered[active], ordered[active + step]))
    return np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)


def group_alike(survey: Survey) -> NDArray[np.int64]:
    """Return the number of each row's group of near-duplicates, int64 (N,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs, count = find_near_pairs(survey), len(survey.index)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def is_flat(survey: Survey) -> NDArray[np.bool_]:
    """Return which readable images show one colour and nothing else, bool (N,)."""
    ranges = np.ptp(survey.thumbnails, axis=(1, 2)).max(axis=1)
    return np.asarray(survey.readable & (ranges < FLAT_RANGE))


def _keep_alike(
    survey: Survey, left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return those of the pairs that are near-duplicates, int64 (P, 2)."""
    different = (survey.hashes[left] ^ survey.hashes[right]).view(np.uint8).reshape(-1, 8)
    near = _BIT_COUNT[different].sum(axis=1) <= HASH_DISTANCE
    left, right = left[near], right[near]
    levels = survey.thumbnails[left].astype(np.int16) - survey.thumbnails[right]
    alike = np.abs(levels).mean(axis=(1, 2, 3)) <= COLOUR_DISTANCE
    return np.stack([left[alike], right[alike]], axis=1)
