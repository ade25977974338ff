"""Work on many image files by a few threads: Pillow decodes and resizes without Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

from mobilenet_tf.errors import MtfError

A = TypeVar("A")
_AT_A_TIME = 256  # results that may wait: memory stays the same whatever the number of files


def map_files(function: Callable[[Path], A], paths: Iterable[Path]) -> Iterator[A | MtfError]:
    """Yield function(path) of each file, or why it cannot be read, in order, by a thread a core."""

    def work(path: Path) -> A | MtfError:
        try:
            return function(path)
        except MtfError as error:
            return error
        except OSError as error:  # a folder that may not be read, a name that is too long
            return MtfError(f"{path} cannot be read: {error.strerror}")

    waiting = iter(paths)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        while chunk := list(islice(waiting, _AT_A_TIME)):
            yield from pool.map(work, chunk)


def reason_of(error: MtfError, path: Path) -> str:
    """Return why a file cannot be read, without its name."""
    return str(error).removeprefix(f"{path} ")
