"""Work on many files by a few threads: Pillow decodes and resizes without Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")
_AT_A_TIME = 256  # results that may wait: memory stays the same whatever the number of files


def map_in_threads(function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Yield function(item) for each item, in order, from as many threads as there are cores."""
    waiting = iter(items)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        while chunk := list(islice(waiting, _AT_A_TIME)):
            yield from pool.map(function, chunk)
