"""Keras' published ImageNet weights: which there are, where they are cached, how they come here.

Names, addresses and MD5 sums are those of tf_keras.applications.
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.files import atomic_path
from mobilenet_tf.models.blocks import ModelTable
from mobilenet_tf.models.catalog import MODELS
from mobilenet_tf.models.keras_file import read_keras_file
from mobilenet_tf.system.download import download as download_url

IMAGENET, IMAGENET_CLASSES = "imagenet", 1000
SERVER = "https://storage.googleapis.com/tensorflow/keras-applications"
_V1_ALPHAS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}
_V3_MD5 = {  # of the files with and without the top
    "large_224_0.75": ("765b44a33ad4005b3ac83185abf1d0eb", "40af19a13ebea4e2ee0c676887f69a2e"),
    "large_224_1.0": ("59e551e166be033d707958cf9e29a6a7", "07fb09a5933dd0c8eaafa16978110389"),
    "large_minimalistic_224_1.0": (
        "675e7b876c45c57e9e63e6d90a36599c",
        "ec5221f64a2f6d1ef965a614bdae7973",
    ),
    "small_224_0.75": ("cb65d4e5be93758266aa0a7f2c6708b7", "ebdb5cc8e0b497cd13a7c275d475c819"),
    "small_224_1.0": ("8768d4c2e7dee89b9d02b2d03d65d862", "d3e8ec802a04aa4fc771ee12a9a9b836"),
    "small_minimalistic_224_1.0": (
        "99cd97fb2fcdad2bf028eb838de69e37",
        "cde8136e733e811080d9fcd8a252f7e4",
    ),
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedFile:
    """One file of weights; `md5` is None where Keras does not check it."""

    folder: str
    name: str
    md5: str | None = None

    @property
    def url(self) -> str:
        """Where it is published."""
        return f"{SERVER}/{self.folder}/{self.name}"


def is_published(table: ModelTable) -> bool:
    """Tell whether Keras has published weights of a model, at any alpha."""
    return table.name.startswith(("mobilenet_v1", "mobilenet_v2", "mobilenet_v3"))


def list_published(table: ModelTable, alpha: float, *, top: bool) -> list[PublishedFile]:
    """Return the files of a model's weights, the one to download first; all are of 224 pixels.

    `top` says whether ImageNet's classifier is wanted. V3 is taken with it in any case: its
    second last layer belongs to it.

    Raises:
        UsageError: Keras has published none of this model at this alpha.
    """
    if not is_published(table):
        having = ", ".join(name for name, other in MODELS.items() if is_published(other))
        raise UsageError(f"there are no ImageNet weights of {table.name}; there are of {having}")
    if alpha not in table.published_alphas:
        alphas = ", ".join(f"{known:g}" for known in table.published_alphas)
        raise UsageError(
            f"there are no ImageNet weights of {table.name} with alpha {alpha:g}; choose"
            f" model.alpha from {alphas}"
        )
    if table.name == "mobilenet_v1":
        stem = f"mobilenet_{_V1_ALPHAS[alpha]}_224_tf"
        files = [PublishedFile("mobilenet", f"{stem}{end}.h5") for end in ("", "_no_top")]
    elif table.name == "mobilenet_v2":
        stem = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_224"
        files = [PublishedFile("mobilenet_v2", f"{stem}{end}.h5") for end in ("", "_no_top")]
    else:
        kind = f"{table.name.removeprefix('mobilenet_v3_')}_224_{float(alpha)}"
        files = [
            PublishedFile("mobilenet_v3", f"weights_mobilenet_v3_{kind}_float{end}.h5", md5)
            for end, md5 in zip(("", "_no_top_v2"), _V3_MD5[kind], strict=True)
        ]
    if top:
        return files[:1]
    return files if table.name.startswith("mobilenet_v3") else files[::-1]


def cache_folders() -> list[Path]:
    """Return the folders where Keras keeps what it downloads; the first is where we do."""
    home = Path.home() / ".keras"
    asked = Path(os.environ.get("KERAS_HOME") or home)
    return [folder / "models" for folder in dict.fromkeys((asked, home))]


def find_cached(files: list[PublishedFile]) -> Path | None:
    """Return the first of the files that Keras, or we, have downloaded before."""
    places = [folder / file.name for file in files for folder in cache_folders()]
    return next((place for place in places if place.is_file()), None)


def provide(table: ModelTable, alpha: float, *, top: bool = False, fetch: bool = True) -> Path:
    """Return the file of a model's ImageNet weights, as it is cached or, with `fetch`, downloaded.

    Raises:
        UsageError: as `list_published`.
        MtfError: as `download`, or the cached file is damaged or, without `fetch`, missing.
    """
    files = list_published(table, alpha, top=top)
    cached = find_cached(files)
    if cached is not None:
        check_cached(cached, files)
        return cached
    if fetch:
        return download(files[0])
    raise MtfError(f"{files[0].url} is not cached here; {how_to_provide(files[0])}")


def describe(file: Path) -> str:
    """Return the address of a published file, else its path."""
    for table in MODELS.values():
        for alpha in table.published_alphas if is_published(table) else ():
            for published in list_published(table, alpha, top=False):
                if published.name == file.name:
                    return published.url
    return str(file)


def download(file: PublishedFile) -> Path:
    """Download a file to where Keras caches it, checked and whole; return its path.

    Raises:
        MtfError: it cannot be reached or written, or is not what was published.
    """
    target = cache_folders()[0] / file.name
    log.info("downloading %s to %s", file.url, target.parent)
    content = download_url(file.url, how_to_provide(file))
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if file.md5 not in (None, found):
        raise _wrong(file, f"its MD5 is {found}, Keras says {file.md5}")
    with atomic_path(target) as partial:
        partial.write_bytes(content)
        try:
            read_keras_file(partial)
        except MtfError as error:
            raise _wrong(file, str(error)) from error
    return target


def check_cached(path: Path, files: list[PublishedFile]) -> None:
    """Refuse (MtfError) a cached file that is not the one that was published."""
    file = next(file for file in files if file.name == path.name)
    if file.md5 and file.md5 != (found := hashlib.md5(path.read_bytes()).hexdigest()):  # noqa: S324
        raise MtfError(
            f"{path} is not the file that Keras published: its MD5 is {found}, not {file.md5};"
            " remove it to download it again"
        )


def _wrong(file: PublishedFile, what: str) -> MtfError:
    return MtfError(
        f"{file.url} sent something other than the published weights ({what}); try again, or"
        f" {how_to_provide(file)}"
    )


def how_to_provide(file: PublishedFile) -> str:
    """Say how a file gets here without our downloading it."""
    return (
        f"put {file.name} into {cache_folders()[0]}, where Keras caches it, or give a file:"
        " --weights FILE"
    )
