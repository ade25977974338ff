"""Files on disk: atomic writes, SHA-256, and errors that say which file and what to do."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mobilenet_tf.errors import BusyError, MtfError, UsageError

T = TypeVar("T")
SPARE_BYTES = 10**9  # of a disk: never filled with what takes much
_LEFT_BEHIND = ".mtf-tmp"  # nobody else's files end so


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block succeeds.

    A reader sees the old file or the whole new one, never a part; a failure leaves no trace. As
    careful editors do: a link stays one and its target is written, an old file keeps its mode, a
    new one has what the umask leaves. A device or a pipe is written to at the end, never replaced.

    Raises:
        MtfError: the folder cannot be written or the disk is full.
    """
    with writing(path):
        path = Path(os.path.realpath(path)) if path.is_symlink() else path
        before = _status(path)
        if before and not (stat.S_ISREG(before.st_mode) or stat.S_ISDIR(before.st_mode)):
            with tempfile.TemporaryDirectory() as folder:
                temporary = Path(folder) / path.name
                temporary.touch()
                yield temporary
                _write_through(path, temporary.read_bytes())
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        unique = f".{path.name[:50]}.{secrets.token_hex(4)}{_LEFT_BEHIND}"
        temporary = path.with_name(unique)
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            yield temporary
            if before:
                temporary.chmod(stat.S_IMODE(before.st_mode))
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            rename(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def rename(source: Path, target: Path) -> None:
    """Give a file or a folder its new name, for good: a power cut does not undo it."""
    source.replace(target)
    for folder in {source.parent, target.parent}:
        with contextlib.suppress(OSError):  # not every system opens folders
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _write_through(path: Path, content: bytes) -> None:
    """Write to a device or a pipe that somebody reads."""
    handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # a pipe without a reader: at once an error
    os.set_blocking(handle, True)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def to_utf8(name: str) -> str:
    r"""Return the name of a file as text that can be stored: what is not UTF-8 as `\udcff`."""
    return name.encode("utf-8", "backslashreplace").decode()


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
        if path.exists() and not path.is_file():  # a pipe would never end
            raise OSError("it is no regular file")
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MtfError(f"{path} is damaged ({error}); {fix}") from error


def read_regular(path: Path, wanted: str, most_bytes: int) -> bytes:
    """Return the content of a regular file; a pipe or a device would never end.

    Raises:
        UsageError: there is none; the message says what is `wanted`.
        MtfError: it cannot be read, or is larger than `most_bytes`.
    """
    if not path.is_file():
        what = "does not exist"
        if path.exists():
            what = "is a folder" if path.is_dir() else "is a pipe or a device"
        raise UsageError(f"{path} {what}; give {wanted}")
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > most_bytes:
                raise MtfError(f"{path} is larger than {most_bytes:,} bytes; give {wanted}")
            return file.read()
    except OSError as error:
        raise MtfError(f"cannot read {path}: {error.strerror or error}") from error


def is_leftover(path: Path) -> bool:
    """Tell whether this is the temporary file of a write, by its name."""
    return path.name.startswith(".") and path.name.endswith(_LEFT_BEHIND)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writes that were killed, below `folder`."""
    for path in folder.rglob(f".*{_LEFT_BEHIND}"):
        with contextlib.suppress(OSError):  # in the way of nothing: it is only space
            path.unlink()


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def nearest_folder(path: Path) -> Path:
    """Return a folder, or the first above it that exists: on whose disk it is or will be."""
    return next(each for each in (path, *path.absolute().parents) if each.is_dir())


def check_space(folder: Path, needed_bytes: int, what: str, else_do: str) -> None:
    """Refuse (MtfError) what does not fit on the disk of a folder, which need not exist yet.

    A gigabyte of it stays free. `else_do` is what there is to do but to free some space.
    """
    free_bytes = shutil.disk_usage(nearest_folder(folder)).free
    if needed_bytes and needed_bytes > free_bytes - SPARE_BYTES:
        raise MtfError(
            f"{what} need {needed_bytes / 1e9:.2f} GB in {folder}, where {free_bytes / 1e9:.2f} GB"
            f" are free, and {SPARE_BYTES / 1e9:.0f} GB stay so; free some, or {else_do}"
        )


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise what the operating system refuses meanwhile as the MtfError of a write to `path`."""
    try:
        yield
    except OSError as error:
        raise MtfError(
            f"cannot write {path}: {error.strerror or error}; free some space or make the folder"
            " writable, or choose another place (--out, --html, --data-dir)"
        ) from error


def refuse_links(paths: Iterable[Path]) -> None:
    """Refuse to write where a link leads: what is made here stays here.

    Raises:
        UsageError: one of the paths is a link.
    """
    for path in paths:
        if path.is_symlink():
            raise UsageError(f"{path} is a link to {os.readlink(path)}; put the real one there")


@contextlib.contextmanager
def locked(path: Path, busy: str, timeout_s: float = 0.0) -> Iterator[None]:
    """Hold the lock file `path`; its folder is made.

    Raises:
        BusyError: another process holds it for `timeout_s`; `busy` says so.
        MtfError: it cannot be made.
    """
    import filelock

    refuse_links([path])
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
