"""The folder of a zoo on disk: one writer at a time, every model whole or not there.

.NAME.tmp        a model that is being written
.NAME.old        the model that it replaces, between two renames
../.ZOO.lock     held by whoever writes
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from mobilenet_tf.errors import MtfError
from mobilenet_tf.files import locked, rename, writing

WAIT_S = 60.0  # a writer holds the lock for as long as it copies a few files


@contextlib.contextmanager
def lock_zoo(zoo: Path, timeout_s: float = WAIT_S) -> Iterator[None]:
    """Keep other writers out of a zoo, after repairing what a killed one left there.

    Raises:
        MtfError: another writer does not end within `timeout_s`, or the folder is not writable.
    """
    folder, busy = zoo.resolve(), f"another mtf is writing to {zoo}; try again when it is done"
    with writing(zoo), locked(folder.parent / f".{folder.name}.lock", busy, timeout_s):
        folder.mkdir(exist_ok=True)
        _repair(folder)
        yield


def restore_models(zoo: Path) -> None:
    """Put back the models that a killed writer moved aside and never replaced.

    While a writer is at work, or where the folder cannot be written, nothing is done.
    """
    if any(zoo.glob(".*.old")):
        with contextlib.suppress(MtfError), lock_zoo(zoo, timeout_s=0):
            pass


@contextlib.contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place when the block succeeds.

    The caller holds the zoo's lock. Killed at any moment, it leaves the old model or the new one
    for `lock_zoo` to find.

    Raises:
        MtfError: the folder cannot be written.
    """
    fresh, old = (target.with_name(f".{target.name}.{kind}") for kind in ("tmp", "old"))
    with writing(target):
        try:
            fresh.mkdir(parents=True)
            yield fresh
            if target.exists():
                rename(target, old)
            rename(fresh, target)
        finally:
            _repair(target.parent)


def _repair(zoo: Path) -> None:
    """Put models back that were moved aside and not replaced; remove what else was left."""
    for old in zoo.glob(".*.old"):
        model = old.with_name(old.name[1:].removesuffix(".old"))
        if not model.exists():
            rename(old, model)
    for left in (*zoo.glob(".*.old"), *zoo.glob(".*.tmp")):
        shutil.rmtree(left, ignore_errors=True)
