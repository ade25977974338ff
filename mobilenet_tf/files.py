"""Files on disk: atomic writes, SHA-256, and errors that say which file and what to do."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mobilenet_tf.errors import BusyError, MtfError

T = TypeVar("T")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block succeeds.

    A reader sees the old file or the whole new one, never a part; a failure leaves no trace.

    Raises:
        MtfError: the folder cannot be written or the disk is full.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)  # mkstemp makes files private; results are for everybody
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` atomically, as UTF-8; names of files as the system has them."""
    write_bytes(path, content.encode("utf-8", "surrogateescape"))


def write_json(path: Path, value: Any) -> None:
    """Write `value`, a struct or plain, to `path` atomically, as indented JSON."""
    write_bytes(path, msgspec.json.format(msgspec.json.encode(value)) + b"\n")


def read_json(path: Path, kind: type[T], fix: str) -> T:
    """Return what a JSON file of ours holds; MtfError, which ends in `fix`, if it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MtfError(f"{path} is damaged ({error}); {fix}") from error


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writes that were killed, below `folder`."""
    for path in folder.rglob(".*.tmp"):
        with contextlib.suppress(OSError):  # in the way of nothing: it is only space
            path.unlink()


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise what the operating system refuses meanwhile as the MtfError of a write to `path`."""
    try:
        yield
    except OSError as error:
        raise MtfError(
            f"cannot write {path}: {error.strerror or error}; free some space or make the folder"
            " writable, or choose another with --out"
        ) from error


@contextlib.contextmanager
def locked(path: Path, busy: str, timeout_s: float = 0.0) -> Iterator[None]:
    """Hold the lock file `path`; its folder is made.

    Raises:
        BusyError: another process holds it for `timeout_s`; `busy` says so.
        MtfError: it cannot be made.
    """
    import filelock

    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path, timeout=timeout_s)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise BusyError(busy) from error
    try:
        yield
    finally:
        lock.release()
