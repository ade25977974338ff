"""Folders in an object store: fsspec's own in memory, and moto's S3."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from mobilenet_tf.data.bucket import _read_time, fetch_folder, is_remote
from mobilenet_tf.errors import MtfError, UsageError

URL = "memory://photos/flowers"
FILES = {"rose/1.jpg": b"rose", "tulip/a b.png": b"tulip!", "tulip/ü.png": b"u"}


@pytest.fixture
def store() -> Iterator[Any]:
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    put(memory, FILES)
    yield memory
    memory.store.clear()


def put(memory: Any, files: dict[str, bytes]) -> None:
    for place, content in files.items():
        memory.pipe_file(f"/photos/flowers/{place}", content)


def content_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_folder_is_copied_with_names_and_times(store: Any, tmp_path: Path) -> None:
    folder = fetch_folder(URL, tmp_path)
    assert folder.name == "flowers"
    assert content_of(folder) == FILES
    created = store.created("/photos/flowers/rose/1.jpg")
    assert (folder / "rose/1.jpg").stat().st_mtime == pytest.approx(created.timestamp(), abs=1e-3)


def test_only_what_is_new_or_changed_is_copied_again(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch_folder(f"{URL}/", tmp_path)
    put(store, {"rose/1.jpg": b"ROSE", "rose/2.jpg": b"new"})
    store.rm("/photos/flowers/tulip/a b.png")
    (folder / "tulip/ü.png").unlink()
    copied: list[str] = []
    get = store.get
    monkeypatch.setattr(store, "get", lambda keys, to: (copied.extend(keys), get(keys, to)))
    assert fetch_folder(URL, tmp_path) == folder
    assert content_of(folder) == {"rose/1.jpg": b"ROSE", "rose/2.jpg": b"new", "tulip/ü.png": b"u"}
    assert {key.rpartition("/")[2] for key in copied} == {"1.jpg", "2.jpg", "ü.png"}
    copied.clear()
    fetch_folder(URL, tmp_path)
    assert not copied


def test_an_interrupted_copy_goes_on(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mobilenet_tf.data.bucket._AT_ONCE", 1)
    get, keys_seen = store.get, []

    def cut_off(keys: list[str], to: list[str]) -> None:
        keys_seen.extend(keys)
        if len(keys_seen) == 2:
            Path(to[0]).write_bytes(b"half")
            raise ConnectionError("the line is dead")
        get(keys, to)

    monkeypatch.setattr(store, "get", cut_off)
    with pytest.raises(MtfError, match=r"memory://photos/flowers \(the line is dead\)"):
        fetch_folder(URL, tmp_path)
    folder = fetch_folder(URL, tmp_path)
    assert content_of(folder) == FILES
    assert len(keys_seen) == 4  # the first was not copied again


def test_a_file_that_comes_short_is_refused(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "get", lambda _, to: [Path(path).write_bytes(b"") for path in to])
    with pytest.raises(MtfError, match="0 of 4 bytes"):
        fetch_folder(URL, tmp_path)
    assert not list(tmp_path.rglob("*.jpg"))


@pytest.mark.parametrize(
    "place", ["../x", "a/../../x", "./x", "a//x", "a\\..\\x", "a\nb.jpg", "a\x1b[2J.jpg", "/etc/x"]
)
def test_hostile_keys_are_refused_by_name(place: str, store: Any, tmp_path: Path) -> None:
    key, file = f"/photos/flowers/{place}", store.store["/photos/flowers/rose/1.jpg"]
    store.store[key] = file
    store.find = lambda path, detail: {key: {"size": 4, "created": datetime.now(timezone.utc)}}
    try:
        with pytest.raises(MtfError, match="has an object") as caught:
            fetch_folder(URL, tmp_path)
    finally:
        del store.find
    assert caught.value.exit_code == 1
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_object_that_is_a_folder_too_is_refused(store: Any, tmp_path: Path) -> None:
    put(store, {"rose": b"an object"})
    with pytest.raises(MtfError, match="'rose' both as an object and as a folder"):
        fetch_folder(URL, tmp_path)


@pytest.mark.parametrize("url", ["s3://", "s3://..", "s3://photos/../x", "gs://a//b", "s3://a\x07"])
def test_addresses_of_another_form_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="BUCKET/FOLDER"):
        fetch_folder(url, tmp_path)


@pytest.mark.parametrize("url", ["memory://photos/nothing", "memory://photos/flowers/rose/1.jpg"])
def test_what_is_no_folder_is_refused(url: str, store: Any, tmp_path: Path) -> None:
    with pytest.raises(MtfError, match=url):
        fetch_folder(url, tmp_path)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UsageError, match=r"pip install 'mobilenet-tf\[cloud\]'"):
        fetch_folder("s3://photos/flowers", tmp_path)


@pytest.fixture(scope="module")
def s3_address() -> Iterator[str]:
    """Yield the address of a stand-in for S3."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield "http://{}:{}".format(*running.get_host_and_port())
    running.stop()


@pytest.fixture
def s3(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield an S3 with the bucket photos."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    store = s3fs.S3FileSystem()
    store.mkdir("photos")
    for place, content in FILES.items():
        store.pipe_file(f"photos/flowers/{place}", content)
    yield store
    store.rm("photos", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.slow
def test_a_folder_in_s3_is_copied_and_changes_are_noticed(s3: Any, tmp_path: Path) -> None:
    s3.touch("photos/flowers/rose/")  # as the console of AWS marks a folder
    folder = fetch_folder("s3://photos/flowers", tmp_path)
    assert content_of(folder) == FILES
    before = (folder / "rose/1.jpg").stat().st_mtime
    assert before == s3.info("photos/flowers/rose/1.jpg")["LastModified"].timestamp()
    s3.pipe_file("photos/flowers/rose/1.jpg", b"ROSE")  # of the same size, in the same second
    fetch_folder("s3://photos/flowers", tmp_path)
    assert (folder / "rose/1.jpg").read_bytes() == b"ROSE"
    s3.pipe_file("photos/flowers/../../x.jpg", b"x")
    with pytest.raises(MtfError, match=re.escape("'../../x.jpg', which is no plain path")):
        fetch_folder("s3://photos/flowers", tmp_path)


@pytest.mark.slow
def test_what_s3_refuses_is_one_sentence(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MtfError, match="cannot read s3://nobody/flowers"):
        fetch_folder("s3://nobody/flowers", tmp_path)
    with pytest.raises(MtfError, match="holds nothing"):
        fetch_folder("s3://photos/trees", tmp_path)
    s3.clear_instance_cache()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))  # without ~/.aws
    with pytest.raises(MtfError, match=r"cannot read s3://photos/flowers .*credentials"):
        fetch_folder("s3://photos/flowers", tmp_path)


@pytest.mark.parametrize("name", ["LastModified", "updated", "created"])
def test_each_store_says_in_its_way_when_an_object_was_changed(name: str) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    for said in (when, "2026-01-02T03:04:05.000Z", when.timestamp()):
        assert _read_time({"name": "x", name: said}) == when.timestamp()
    assert _read_time({}) == 0


def test_names_of_stores() -> None:
    assert is_remote("s3://a/b")
    assert is_remote("gs://a")
    assert not any(map(is_remote, ("s3", "flowers/", "tfds:mnist", "http://a", "C:/s3://", "")))
