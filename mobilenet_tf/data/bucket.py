"""A folder in an object store, copied to this machine once; from then on a folder as any other.

fsspec lists and copies; what is here already, by size and ETag, is not copied again. Files get the
store's times of change, so that several machines agree on what they have.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from mobilenet_tf.data.sources import default_data_dir
from mobilenet_tf.data.stored import CACHE_FOLDER, check_writable
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.files import check_space, locked, writing
from mobilenet_tf.system.interrupt import raise_if_interrupted
from mobilenet_tf.system.terminal import bar, escape

log = logging.getLogger(__name__)
STORES = ("s3", "gs", "memory")  # memory is fsspec's own, for trying things out
_AT_ONCE = 64  # files that are copied together
_LATEST = "objects.jsonl"  # [place, version] of each file as it was copied


@dataclass(frozen=True)
class _Object:
    """A file of a store: `place` is relative to the folder, `version` changes with the content."""

    key: str
    place: str
    size_bytes: int
    version: str
    changed_s: float


def is_remote(name: str) -> bool:
    """Tell whether a name is one of an object store, such as s3://BUCKET/FOLDER."""
    return name.partition("://")[0] in STORES and "://" in name


def fetch_folder(url: str, data_dir: Path | None = None) -> Path:
    """Return the copy of a store's folder below `data_dir`, up to date.

    Raises:
        UsageError: the address is of another form, or the package for the store is missing.
        MtfError: the store cannot be read, has an unsafe or no name there, or the disk is full.
    """
    scheme, _, path = url.partition("://")
    path = path.strip("/")
    if fault := _find_fault(path):
        raise UsageError(f"{escape(url)} {fault}; write {scheme}://BUCKET/FOLDER")
    store = _open_store(scheme)
    home = default_data_dir() if data_dir is None else data_dir
    home = home / CACHE_FOLDER / f"{scheme}-{hashlib.sha256(path.encode()).hexdigest()[:16]}"
    folder = home / PurePosixPath(path).name
    with locked(home / ".lock", f"another process is copying {url}", timeout_s=-1):  # as it takes
        with _reading(url):
            store.invalidate_cache()
            found = store.find(path, detail=True)
        _bring_up_to_date(store, url, _check_objects(url, path, found), folder)
    return folder


def settle_folder(source: Path | str) -> Path:
    """Return a path as it is, and for an address in a store the copy of `fetch_folder`."""
    return source if isinstance(source, Path) else fetch_folder(source)


def _open_store(scheme: str) -> Any:
    """Return fsspec's file system of a kind of store."""
    for client in ("s3fs", "gcsfs"):  # what they log, with stack traces, is in our error
        logging.getLogger(client).setLevel(logging.CRITICAL)
    try:
        import fsspec

        return fsspec.filesystem(scheme)
    except ImportError as error:
        raise UsageError(
            f"{scheme}:// needs a package that is not installed ({error}): pip install"
            " 'mobilenet-tf[cloud]'"
        ) from error


@contextmanager
def _reading(url: str) -> Iterator[None]:
    """Raise whatever a store's client raises as a MtfError."""
    try:
        yield
    except Exception as error:  # botocore, google.auth, aiohttp: each has its own kinds
        reason = escape((str(error).splitlines() or [""])[0][:200] or type(error).__name__)
        raise MtfError(
            f"cannot read {url} ({reason}); check the name, the network and your credentials"
        ) from error


def _check_objects(url: str, path: str, found: dict[str, Any]) -> list[_Object]:
    """Return the files of a folder, none of which can lead out of it.

    Raises:
        MtfError: there is none, or one of them has a name that no file should have.
    """
    objects = []
    for key, info in sorted(found.items()):
        place = key.removeprefix(path if key.startswith(path) else f"/{path}").removeprefix("/")
        if key.endswith("/") and not info["size"]:
            continue  # some tools mark folders so
        if not place:
            raise MtfError(f"{url} is one object; name the folder that it is in")
        if fault := _find_fault(place):
            raise MtfError(f"{url} has an object {escape(repr(place))}, which {fault}; rename it")
        version = next((info[name] for name in ("ETag", "etag", "md5Hash") if info.get(name)), "")
        changed_s = _read_time(info)
        version = f"{version or changed_s} {info['size']}"
        objects.append(_Object(key, place, info["size"], version, changed_s))
    places = {each.place for each in objects}
    for each in objects:
        if inside := places.intersection(map(str, PurePosixPath(each.place).parents)):
            raise MtfError(
                f"{url} has {escape(repr(inside.pop()))} both as an object and as a folder;"
                " rename one of them"
            )
    if not objects:
        raise MtfError(f"{url} holds nothing; check the name, or copy images to it")
    return objects


def _find_fault(place: str) -> str:
    """Return why a key cannot be the path of a file below a folder; "" if it can."""
    if escape(place) != place:
        return "has control characters"
    parts = place.split("/")
    if {"", ".", ".."}.intersection(parts) or "\\" in place or Path(place).drive:
        return "is no plain path"
    return ""


def _read_time(info: dict[str, Any]) -> float:
    """Return when an object was changed, in seconds since 1970; 0 where its store does not say."""
    said = next((info[name] for name in ("LastModified", "updated", "created") if name in info), 0)
    if isinstance(said, str):
        said = datetime.fromisoformat(said.replace("Z", "+00:00"))
    return float(said.timestamp() if isinstance(said, datetime) else said)


def _bring_up_to_date(store: Any, url: str, objects: Sequence[_Object], folder: Path) -> None:
    """Copy what is missing or has changed, and remove what the store no longer has."""
    journal = folder.parent / _LATEST
    held = _read_journal(journal)
    missing = [
        each
        for each in objects
        if held.get(each.place) != each.version or not (folder / each.place).is_file()
    ]
    gone = held.keys() - {each.place for each in objects}
    if needed_bytes := sum(each.size_bytes for each in missing):
        else_do = "choose another folder with --data-dir"
        check_space(check_writable(folder.parent), needed_bytes, f"the files of {url}", else_do)
    log.info("%s: %s files, %s to copy", url, f"{len(objects):,}", f"{len(missing):,}")
    copied_bytes = 0
    with writing(folder), bar(f"copying {url}", len(missing)) as advance:
        for place in gone:
            (folder / place).unlink(missing_ok=True)
        for start in range(0, len(missing), _AT_ONCE):
            raise_if_interrupted()
            batch = missing[start : start + _AT_ONCE]
            _copy(store, url, batch, folder)
            with journal.open("a", encoding="utf-8") as file:
                file.writelines(f"{json.dumps([each.place, each.version])}\n" for each in batch)
            copied_bytes += sum(each.size_bytes for each in batch)
            advance(len(batch), f"{copied_bytes / 1e6:.1f} MB")


def _copy(store: Any, url: str, batch: Sequence[_Object], folder: Path) -> None:
    """Copy some files; each takes its name when it is whole."""
    partial = folder.parent / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    paths = [partial / str(number) for number in range(len(batch))]
    with _reading(url):
        store.get([each.key for each in batch], list(map(str, paths)))
    for each, path in zip(batch, paths, strict=True):
        if path.stat().st_size != each.size_bytes:
            raise MtfError(
                f"{url}/{each.place} came with {path.stat().st_size:,} of {each.size_bytes:,}"
                " bytes; run the same command again"
            )
        os.utime(path, (each.changed_s, each.changed_s))
        target = folder / each.place
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def _read_journal(journal: Path) -> dict[str, str]:
    """Return the version of each file that has been copied; a line that was cut off is none."""
    held = {}
    for line in journal.read_text("utf-8").splitlines() if journal.is_file() else ():
        try:
            place, version = json.loads(line)
        except ValueError:
            continue
        held[str(place)] = str(version)
    return held
