"""Any image-classification set of tensorflow-datasets as files with a CSV file that lists them.

Its images are written as they came, still encoded, so that a set of photographs of all sizes
takes the same way as a folder of one's own.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

from mobilenet_tf.data.index import PART_NAMES, PARTS
from mobilenet_tf.data.sources import default_data_dir, ensure_prepared, import_tfds
from mobilenet_tf.data.stored import CACHE_FOLDER
from mobilenet_tf.errors import MtfError, UsageError, first_line
from mobilenet_tf.files import write_text, writing
from mobilenet_tf.system.terminal import escape, track

PREFIX = "tfds:"
TABLE = "images.csv"
_NAME = re.compile(r"[a-z0-9_]+(/[A-Za-z0-9_.-]+)?")
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp"}


def export_images(name: str, data_dir: Path | None = None) -> Path:
    """Return the CSV file of `name` (with or without "tfds:"), written the first time.

    With `data_dir` None, a set that is not on this machine is downloaded first.

    Raises:
        UsageError: no such set, or it is not for image classification, or `data_dir` lacks it.
        MtfError: no network and no data, or damaged data, or the disk is full.
    """
    name = name.removeprefix(PREFIX)
    if not _NAME.fullmatch(name):
        raise UsageError(f"{escape(repr(name))} is no name of a dataset; use tfds:NAME[/CONFIG]")
    root = default_data_dir() if data_dir is None else data_dir
    folder = ensure_prepared(name, root, "" if data_dir is None else "leave --data-dir out")
    target = root / CACHE_FOLDER / f"{name.replace('/', '-')}-{folder.name}" / TABLE
    if not target.is_file():  # it is written last
        with writing(target):
            _export(folder, target)
    return target


def _export(folder: Path, target: Path) -> None:
    tfds = import_tfds()
    try:
        builder = tfds.builder_from_directory(str(folder))
        image, label = _find_features(tfds, builder, folder)
        classes = builder.info.features[label].names
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["path", "label", "split"])
        for split in builder.info.splits:
            if split in PART_NAMES:
                part = PARTS[PART_NAMES[split]]
                examples = builder.as_dataset(
                    split=split,
                    shuffle_files=False,
                    decoders={image: tfds.decode.SkipDecoding()},
                    read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
                )
                for number, example in enumerate(track(examples, f"writing {part} images")):
                    index = int(example[label])
                    if index >= 0:  # -1 says that a test set keeps its labels secret
                        path = _write(target.parent, f"{part}/{number:07d}", example[image].numpy())
                        writer.writerow([path, classes[index], part])
        write_text(target, table.getvalue())
    except (MtfError, OSError):
        raise
    except Exception as error:  # JSON, protobuf, TFRecord: each has its own kinds of failure
        raise MtfError(
            f"{folder} is damaged ({first_line(error)[:200]}); delete it and run again"
        ) from error


def _find_features(tfds: Any, builder: Any, folder: Path) -> tuple[str, str]:
    """Return the names of the image and of its one label among a set's features."""
    features = builder.info.features
    chosen = []
    for usual, kind in (("image", tfds.features.Image), ("label", tfds.features.ClassLabel)):
        named = [key for key, its in features.items() if type(its) is kind]
        if not named or (len(named) > 1 and usual not in named):
            raise UsageError(
                f"{folder} is not for image classification: {len(named)} of its features are of"
                f" the kind {kind.__name__}; choose another dataset"
            )
        chosen.append(usual if usual in named else named[0])
    return chosen[0], chosen[1]


def _write(folder: Path, stem: str, content: bytes) -> str:
    suffix = next((its for magic, its in _SUFFIXES.items() if content.startswith(magic)), ".img")
    path = folder / f"{stem}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"{stem}{suffix}"
