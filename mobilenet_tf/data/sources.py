"""Where images come from: tensorflow-datasets on disk or over the network, or embedded ones.

Training and test images are loaded by different functions: whoever trains, selects or
calibrates has no reason to call `load_test_split`. tensorflow-datasets is imported here alone.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import re
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobilenet_tf.data.catalog import DatasetInfo, dataset_info
from mobilenet_tf.data.embedded import load_digits, load_synthetic
from mobilenet_tf.data.folder import holds_images
from mobilenet_tf.data.splits import Split, check_labels
from mobilenet_tf.errors import MtfError, UsageError, first_line
from mobilenet_tf.system.hardware import memory_bytes

log = logging.getLogger(__name__)
__all__ = [
    "DatasetStatus",
    "Split",
    "default_data_dir",
    "find_dataset",
    "load_test_split",
    "load_training_split",
    "prepare_dataset",
]

_EMBEDDED = {"digits": load_digits, "synthetic": load_synthetic}
_VERSION_FOLDER = re.compile(r"\d+\.\d+\.\d+")
_CONNECT_TIMEOUT_S = 15.0
_READ_BATCH = 1000
_COPIES = 3  # of the images while they are split, shuffled and augmented: 2.9 were measured
_WORTH_SAYING_BYTES = 2**30


@dataclass(frozen=True, kw_only=True)
class DatasetStatus:
    """Whether a dataset can be read at once: `path` is its folder, `detail` a sentence for people.

    An embedded dataset is ready and has no path.
    """

    name: str
    ready: bool
    path: Path | None
    detail: str


def default_data_dir() -> Path:
    """Return the folder that holds datasets: `TFDS_DATA_DIR`, else tensorflow-datasets' own."""
    named = os.environ.get("TFDS_DATA_DIR")
    return Path(os.path.expanduser(named or "~/tensorflow_datasets"))  # never raises


def find_dataset(name: str, data_dir: Path | None = None) -> DatasetStatus:
    """Say whether dataset `name` is on this machine, by a look at the folders alone.

    Raises:
        UsageError: there is no dataset of that name, or `data_dir` holds images instead.
    """
    info = dataset_info(name)
    if not info.needs_download:
        origin = "scikit-learn" if info.source == "scikit-learn" else "mobilenet-tf"
        return DatasetStatus(
            name=name, ready=True, path=None, detail=f"comes with {origin}; no download"
        )
    root = default_data_dir() if data_dir is None else data_dir
    folder = prepared_folder(name, root)
    if folder is not None:
        return DatasetStatus(name=name, ready=True, path=folder, detail=f"prepared in {folder}")
    refuse_photographs(root)
    option = "" if data_dir is None else f" --data-dir {data_dir}"
    return DatasetStatus(
        name=name,
        ready=False,
        path=None,
        detail=f"not in {root}; `mtf datasets prepare {name}{option}` downloads"
        f" {info.download_bytes / 1e6:.0f} MB",
    )


def load_training_split(name: str, data_dir: Path | None = None) -> Split:
    """Return the training images of dataset `name`, always in the same order.

    With `data_dir` None, a dataset that is not on this machine is downloaded first, with a
    progress bar. Validation is not split off yet: see `splits.hold_out_validation`.

    Raises:
        UsageError: unknown dataset, or a given `data_dir` does not hold it.
        MtfError: no network and no data, or damaged data, or labels outside the classes.
    """
    return _load(name, "train", data_dir)


def load_test_split(name: str, data_dir: Path | None = None) -> Split:
    """Return the test images of dataset `name`; for the final measurement and nothing else.

    Raises as `load_training_split` does.
    """
    return _load(name, "test", data_dir)


def prepare_dataset(name: str, data_dir: Path | None = None) -> DatasetStatus:
    """Download and prepare dataset `name` ahead of time, unless it is there already.

    Raises:
        UsageError: unknown dataset, or `data_dir` is a file.
        MtfError: the download or writing its result failed.
    """
    status = find_dataset(name, data_dir)
    if status.ready:
        return status
    ensure_prepared(name, default_data_dir() if data_dir is None else data_dir)
    return find_dataset(name, data_dir)


def ensure_prepared(name: str, root: Path, instead: str = "") -> Path:
    """Return the version folder of a dataset below `root`, downloaded first where it is missing.

    Raises:
        UsageError: `root` is a file or holds images; or it lacks the dataset and `instead` says
            what to do about that other than to download it.
        MtfError: the download or writing its result failed.
    """
    folder = prepared_folder(name, root)
    if folder is not None:
        return folder
    refuse_photographs(root)
    if instead:
        raise UsageError(f"{root} does not hold {name}; {instead} to download it")
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file; name a folder for datasets with --data-dir")
    download(name, root)
    folder = prepared_folder(name, root)
    if folder is None:
        raise MtfError(f"{name} was downloaded, but {root} does not hold it; try another folder")
    return folder


def refuse_photographs(root: Path) -> None:
    """Refuse a folder of images where a folder of prepared datasets is meant.

    Raises:
        UsageError: images lie in it; the message says how to train on them.
    """
    if holds_images(root):
        raise UsageError(
            f"{root} holds images, not prepared datasets, and nothing will be downloaded into it;"
            f" to train on these images: mtf run {root}, or --set data.path={root};"
            " else give another --data-dir"
        )


def prepared_folder(name: str, root: Path) -> Path | None:
    """Return the newest finished version folder of `name` under `root`, if there is one."""
    try:
        folders = [
            folder
            for folder in (root / name).iterdir()
            if _VERSION_FOLDER.fullmatch(folder.name) and (folder / "dataset_info.json").is_file()
        ]
    except OSError:
        return None
    return max(folders, key=lambda folder: tuple(map(int, folder.name.split("."))), default=None)


def _load(name: str, part: str, data_dir: Path | None) -> Split:
    info = dataset_info(name)
    if name in _EMBEDDED:
        train, test = _EMBEDDED[name]()
        return train if part == "train" else test
    root, instead = default_data_dir(), ""
    if data_dir is not None:
        prepare = f"mtf datasets prepare {name} --data-dir {data_dir}"
        root, instead = data_dir, f"use `{prepare}`, or leave --data-dir out,"
    folder = ensure_prepared(name, root, instead)
    return check_labels(_read(info, part, folder), info.class_count, f"{name} in {folder}")


def _read(info: DatasetInfo, part: str, folder: Path) -> Split:
    """Return the split `part` ("train" or "test") of the prepared dataset in `folder`."""
    tfds = import_tfds()
    try:
        builder = tfds.builder_from_directory(str(folder))
        _check_classes(info, builder.info.features["label"].names, folder)
        expected = int(builder.info.splits[part].num_examples)
        _check_memory(info, expected)
        dataset = builder.as_dataset(
            split=part,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding({"image": True, "label": True}),
            # one file after another: the order of images, and the fingerprint, never vary
            read_config=tfds.ReadConfig(
                interleave_cycle_length=1,
                try_autocache=False,
                assert_cardinality=False,  # counted below, with a clearer message
            ),
        ).batch(_READ_BATCH)
        images = np.empty((expected, *info.image_shape), np.uint8)
        labels = np.empty(expected, np.int64)
        count = 0
        for batch in dataset.as_numpy_iterator():
            stop = count + len(batch["label"])
            images[count:stop] = batch["image"]
            labels[count:stop] = batch["label"]
            count = stop
    except MtfError:
        raise
    except Exception as error:  # JSON, protobuf, TFRecord, PNG: each has its own kinds of failure
        raise _damaged(info, folder, first_line(error)) from error
    if count != expected:
        raise _damaged(info, folder, f"{count} of {expected} {part} images are there")
    return Split(images, labels)


def _check_memory(info: DatasetInfo, count: int) -> None:
    """Say what images in memory take where that is much; refuse what there is no room for."""
    needed, (free, _) = _COPIES * count * math.prod(info.image_shape), memory_bytes()
    what = f"{count:,} images of {info.name} take up to {needed / 2**30:.1f} GiB of memory"
    if needed > free:
        raise MtfError(
            f"{what}, and {free / 2**30:.1f} are free; end other programs, or let them be read from"
            f" disk: mtf run tfds:{info.name}"
        )
    if needed > _WORTH_SAYING_BYTES:
        log.info("%s; %.1f are free", what, free / 2**30)


def _check_classes(info: DatasetInfo, names: list[str], folder: Path) -> None:
    if tuple(names) != info.classes:
        raise MtfError(
            f"{folder}: the classes are {', '.join(names[:10])}, not those of {info.name}"
            f" ({', '.join(info.classes[:10])}); is it another dataset?"
        )


def _damaged(info: DatasetInfo, folder: Path, reason: str) -> MtfError:
    return MtfError(
        f"{info.name} in {folder} is damaged: {reason}; delete that folder and run"
        f" `mtf datasets prepare {info.name} --data-dir {folder.parent.parent}`"
    )


def download(name: str, root: Path) -> None:
    """Download and prepare a dataset into `root` with tensorflow-datasets and its progress bar.

    Raises:
        UsageError: tensorflow-datasets has none of that name.
        MtfError: no network, no space, or what came is damaged.
    """
    tfds = import_tfds()
    try:
        builder = tfds.builder(name, data_dir=str(root), try_gcs=False)
        for url in builder.url_infos or {}:
            _check_reachable(name, url)
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
    except MtfError:
        raise
    except tfds.core.DatasetNotFoundError as error:
        raise UsageError(
            f"tensorflow-datasets has no {name!r}; its catalogue is tensorflow.org/datasets/catalog"
        ) from error
    except Exception as error:  # network, checksum, archive and disk fail in many ways
        if isinstance(error, OSError) and error.errno in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
        ):
            raise MtfError(
                f"cannot write {name} to {root}: {error.strerror}; make the folder writable,"
                " free some space, or choose another folder with --data-dir"
            ) from error
        raise MtfError(
            f"could not download {name} to {root}: {first_line(error)}; {_ways_out(name)}"
        ) from error


def _check_reachable(name: str, url: str) -> None:
    """Fail within seconds where there is no network.

    tensorflow-datasets retries a failed connection ten times, waiting longer each time, and says
    nothing meanwhile.
    """
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310  # http(s), from the library
    try:
        with urllib.request.urlopen(request, timeout=_CONNECT_TIMEOUT_S):  # noqa: S310  # as above
            pass
    except urllib.error.HTTPError:
        return  # something answers; the download itself will say what is wrong
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            return  # certificates may be set for the download alone (REQUESTS_CA_BUNDLE)
        raise MtfError(
            f"{name} is not on this machine and {url} cannot be reached ({reason});"
            f" {_ways_out(name)}"
        ) from error


def _ways_out(name: str) -> str:
    return (
        f"try again with a network, or copy a prepared {name} folder from another machine and"
        " name its parent with --data-dir or TFDS_DATA_DIR; `mtf run quickstart` needs no download"
    )


def import_tfds() -> Any:
    """Return the module tensorflow_datasets, with its and TensorFlow's logs kept to errors."""
    import mobilenet_tf.keras  # noqa: F401  # must come first

    import tensorflow_datasets  # isort: skip

    return tensorflow_datasets
