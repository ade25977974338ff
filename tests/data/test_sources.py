from __future__ import annotations

import errno
import functools
import hashlib
import http.server
import io
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.data import sources
from mobilenet_tf.data.catalog import DATASETS, dataset_info
from mobilenet_tf.data.sources import (
    find_dataset,
    load_test_split,
    load_training_split,
    prepare_dataset,
)
from mobilenet_tf.data.splits import fingerprint
from mobilenet_tf.errors import MtfError, UsageError

VERSION = "3.0.2"
CLASSES = dataset_info("cifar10").classes


class Download:
    """The files that a stand-in server offers, and what was asked of it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.requests: list[str] = []
        random = np.random.RandomState(0)
        # six files as in the original: five for training, one for test, 4 images each
        self.labels = random.randint(0, 10, (6, 4)).astype(np.uint8)
        self.planes = random.randint(0, 256, (6, 4, 3, 32, 32)).astype(np.uint8)

    def write_archive(self) -> bytes:
        """Write a tiny archive in CIFAR-10's binary layout: label, then red, green, blue planes."""
        names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
        members = {"batches.meta.txt": "\n".join(CLASSES).encode() + b"\n\n"}
        for name, labels, images in zip(names, self.labels, self.planes, strict=True):
            members[name] = b"".join(
                bytes([label]) + image.tobytes()
                for label, image in zip(labels, images, strict=True)
            )
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            for name, content in members.items():
                member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        path = self.folder / "cifar-10-binary.tar.gz"
        path.write_bytes(archive.getvalue())
        return archive.getvalue()

    def labelled(self, files: slice) -> dict[bytes, int]:
        planes = self.planes[files].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = self.labels[files].ravel()
        return {p.tobytes(): int(label) for p, label in zip(planes, labels, strict=True)}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Download]:
    folder = tmp_path / "served"
    folder.mkdir()
    requests: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            requests.append(f"{self.command} {self.path}")

    httpd = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    download = Download(
        folder, f"http://127.0.0.1:{httpd.server_address[1]}/cifar-10-binary.tar.gz"
    )
    download.requests = requests
    yield download
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture
def redirect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make tensorflow-datasets' own CIFAR-10 builder download from `url`, expecting `content`."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def apply(url: str, content: bytes) -> None:
        tfds = sources.import_tfds()
        from tensorflow_datasets.image_classification import cifar

        original = cifar.Cifar10._cifar_info.fget
        monkeypatch.setattr(
            cifar.Cifar10, "_cifar_info", property(lambda self: original(self)._replace(url=url))
        )
        info = tfds.download.checksums.UrlInfo(
            size=tfds.core.utils.Size(len(content)),
            checksum=hashlib.sha256(content).hexdigest(),
            filename="cifar-10-binary.tar.gz",
        )
        monkeypatch.setattr(cifar.Cifar10, "url_infos", {url: info})

    return apply


@pytest.fixture
def prepared(tmp_path: Path, server: Download, redirect: Any) -> Path:
    """A data folder with a tiny CIFAR-10 that tensorflow-datasets prepared itself."""
    redirect(server.url, server.write_archive())
    prepare_dataset("cifar10", tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.slow
def test_the_first_use_downloads_and_prepares_once(
    tmp_path: Path,
    server: Download,
    redirect: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    redirect(server.url, server.write_archive())
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    before = find_dataset("cifar10")
    assert not before.ready
    assert "mtf datasets prepare cifar10" in before.detail
    assert "170 MB" in before.detail

    train = load_training_split("cifar10")  # the data folder comes from the environment
    assert "Dl Completed" in capfd.readouterr().err  # tensorflow-datasets' progress bar
    test = load_test_split("cifar10")
    for split, files in ((train, slice(0, 5)), (test, slice(5, 6))):
        shown = {
            image.tobytes(): int(y) for image, y in zip(split.images, split.labels, strict=True)
        }
        assert shown == server.labelled(files)
    assert [request.split()[0] for request in server.requests] == ["HEAD", "GET"]
    after = find_dataset("cifar10")
    assert after.ready
    assert after.path == tmp_path / "data" / "cifar10" / VERSION
    assert prepare_dataset("cifar10") == after
    assert len(server.requests) == 2
    assert fingerprint(load_training_split("cifar10")) == fingerprint(train)


def test_a_given_folder_without_the_dataset_is_refused_before_any_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "download", lambda *_: pytest.fail("tried to download"))
    unfinished = tmp_path / "cifar10" / "3.0.2.incompleteAB12"
    unfinished.mkdir(parents=True)
    (unfinished / "dataset_info.json").write_text("{}")
    for load in (load_training_split, load_test_split):
        with pytest.raises(UsageError) as caught:
            load("cifar10", tmp_path)
        assert f"mtf datasets prepare cifar10 --data-dir {tmp_path}" in str(caught.value)


def test_no_network_and_no_data_is_said_within_seconds(
    tmp_path: Path, redirect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        redirect(f"http://127.0.0.1:{unused.getsockname()[1]}/cifar-10-binary.tar.gz", b"")
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
        started = time.monotonic()
        with pytest.raises(MtfError) as caught:
            load_training_split("cifar10")
        assert time.monotonic() - started < 5
    message = str(caught.value)
    for part in ("cifar10", "cannot be reached", "--data-dir", "mtf run quickstart"):
        assert part in message


def test_a_server_that_never_answers_does_not_hang(
    tmp_path: Path, redirect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_CONNECT_TIMEOUT_S", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        redirect(f"http://127.0.0.1:{silent.getsockname()[1]}/cifar-10-binary.tar.gz", b"")
        with pytest.raises(MtfError, match="cannot be reached"):
            prepare_dataset("cifar10", tmp_path)


def test_a_wrong_archive_is_refused(tmp_path: Path, server: Download, redirect: Any) -> None:
    redirect(server.url, server.write_archive() + b"more was expected")
    with pytest.raises(MtfError, match="could not download cifar10") as caught:
        prepare_dataset("cifar10", tmp_path / "data")
    assert "hecksum" in str(caught.value)
    assert not find_dataset("cifar10", tmp_path / "data").ready


def test_a_missing_archive_is_refused(tmp_path: Path, server: Download, redirect: Any) -> None:
    redirect(server.url, b"")
    with pytest.raises(MtfError, match=r"could not download cifar10.*404"):
        prepare_dataset("cifar10", tmp_path / "data")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_full_or_read_only_disk_is_named(
    tmp_path: Path, redirect: Any, monkeypatch: pytest.MonkeyPatch, server: Download, code: int
) -> None:
    redirect(server.url, server.write_archive())
    from tensorflow_datasets.image_classification import cifar

    def refuse(self: Any, **_: Any) -> None:
        raise OSError(code, "the system's own words")

    monkeypatch.setattr(cifar.Cifar10, "download_and_prepare", refuse)
    with pytest.raises(MtfError, match=f"cannot write cifar10 to {tmp_path}: the system's own"):
        prepare_dataset("cifar10", tmp_path)


def test_a_file_is_no_data_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UsageError, match="is a file"):
        prepare_dataset("cifar10", file)


def training_file(root: Path) -> Path:
    return next((root / "cifar10" / VERSION).glob("cifar10-train.tfrecord-*"))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "shorter", "empty", "missing"])
def test_damaged_records_are_told(prepared: Path, damage: str) -> None:
    file = training_file(prepared)
    content = file.read_bytes()
    assert len(load_training_split("cifar10", prepared)) == 20
    if damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        middle = len(content) // 2
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :])
    elif damage == "shorter":  # cut after a whole record: no checksum fails
        first = 12 + int.from_bytes(content[:8], "little") + 4
        file.write_bytes(content[:first])
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        file.unlink()
    with pytest.raises(MtfError, match=r"is damaged: .*mtf datasets prepare cifar10") as caught:
        load_training_split("cifar10", prepared)
    counts = {"shorter": "1 of 20 train images", "empty": "0 of 20 train images"}
    assert counts.get(damage, "") in str(caught.value)
    assert len(load_test_split("cifar10", prepared)) == 4


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json", "label.labels.txt"])
def test_damaged_descriptions_are_told(prepared: Path, name: str) -> None:
    file = prepared / "cifar10" / VERSION / name
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(MtfError, match=r"cifar10 in .* is damaged|not those of cifar10"):
        load_training_split("cifar10", prepared)


def test_another_dataset_under_the_name_is_told(prepared: Path) -> None:
    labels = prepared / "cifar10" / VERSION / "label.labels.txt"
    labels.write_text("\n".join(reversed(CLASSES)))
    with pytest.raises(MtfError, match=r"the classes are truck, ship.*not those of cifar10"):
        load_training_split("cifar10", prepared)


def test_labels_outside_the_classes_are_told(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = sources._read
    monkeypatch.setattr(sources, "_read", lambda *a: _with_label(read(*a), 10))
    with pytest.raises(MtfError, match=r"image 3 has label 10, outside the classes 0\.\.9"):
        load_training_split("cifar10", prepared)


def _with_label(split: Any, label: int) -> Any:
    split.labels[3] = label
    return split


def test_the_newest_finished_version_is_found(tmp_path: Path) -> None:
    for version in ("3.0.2", "3.0.10", "3.1.0.incomplete7"):
        folder = tmp_path / "cifar10" / version
        folder.mkdir(parents=True)
        (folder / "dataset_info.json").write_text("{}")
    (tmp_path / "cifar10" / "4.0.0").mkdir()  # without a description: not finished
    assert find_dataset("cifar10", tmp_path).path == tmp_path / "cifar10" / "3.0.10"


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_embedded_sets_alone_are_ready_anywhere(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    status = find_dataset(name)
    assert status.ready == (name in ("digits", "synthetic"))
    assert status.path is None
    assert find_dataset(name, tmp_path).ready == status.ready


def test_the_catalog_agrees_with_tensorflow_datasets(tmp_path: Path) -> None:
    tfds = sources.import_tfds()
    for name in ("cifar10", "cifar100"):
        builder = tfds.builder(name, data_dir=str(tmp_path), try_gcs=False)
        info = dataset_info(name)
        assert builder.info.features["image"].shape == info.image_shape
        assert builder.info.features["label"].num_classes == info.class_count
        assert [int(url.size) for url in builder.url_infos.values()] == [info.download_bytes]


@pytest.mark.slow
def test_the_real_cifar10_is_what_was_published(cifar10_dir: Path) -> None:
    train = load_training_split("cifar10", cifar10_dir)
    test = load_test_split("cifar10", cifar10_dir)
    assert np.bincount(train.labels).tolist() == [5000] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10
    # the channel means that the literature normalises with: 0.4914, 0.4822, 0.4465
    means = train.images.mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(means, (0.4914, 0.4822, 0.4465), atol=5e-5)
    assert fingerprint(train).startswith("d28a83739b9bf83a")
    assert fingerprint(test).startswith("713065eb361c2b77")
