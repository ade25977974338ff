from __future__ import annotations

import errno
import hashlib
import stat
from pathlib import Path

import pytest

from mobilenet_tf.errors import MtfError
from mobilenet_tf.files import atomic_path, hash_file, remove_leftovers, write_bytes, write_text


def test_a_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "a.txt"
    write_text(file, "one µ")
    write_text(file, "two")
    assert file.read_text("utf-8") == "two"
    assert [p.name for p in file.parent.iterdir()] == ["a.txt"]
    assert stat.S_IMODE(file.stat().st_mode) & stat.S_IRUSR


def test_an_exception_in_the_block_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    write_bytes(file, b"old")

    def write_half() -> None:
        with atomic_path(file) as temporary:
            temporary.write_bytes(b"half")
            assert file.read_bytes() == b"old"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_keeps_the_old_file_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.bin"
    write_bytes(file, b"old")

    def fill_the_disk(path: Path, content: bytes) -> int:
        with path.open("wb") as half:
            half.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(MtfError, match=r"cannot write .*a\.bin: No space left.*free some space"):
        write_bytes(file, b"new content")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_the_limit_of_the_system_on_a_file_is_met_the_same_way(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs POSIX resource limits")
    file = tmp_path / "a.bin"
    write_bytes(file, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(MtfError, match=r"cannot write .*a\.bin: File too large"):
            write_bytes(file, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_bytes(b"precious")
    with pytest.raises(MtfError, match=r"cannot write .*file.*a\.bin"):
        write_bytes(in_the_way / "a.bin", b"x")
    assert in_the_way.read_bytes() == b"precious"
    (tmp_path / "folder").mkdir()
    with pytest.raises(MtfError, match="cannot write"):
        write_bytes(tmp_path / "folder", b"x")  # a folder stands where the file would be
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_what_killed_writes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "train.partial").mkdir()
    left = tmp_path / "train.partial" / ".checkpoint.safetensors.x1y2.mtf-tmp"
    kept = [tmp_path / ".a.tmp", tmp_path / ".lock", tmp_path / "train.partial" / "a.bin"]
    for path in (left, *kept):
        path.write_bytes(b"x")
    remove_leftovers(tmp_path)
    assert not left.exists()
    assert all(path.exists() for path in kept)


def test_a_hash_is_the_one_of_the_content(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000  # more than one block
    write_bytes(tmp_path / "a.bin", content)
    assert hash_file(tmp_path / "a.bin") == hashlib.sha256(content).hexdigest()
