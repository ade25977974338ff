"""A folder of photographs as the splits that training, choices and the benchmark take.

Training images are stored a little larger than the model's input, so that crops have room;
validation and test images are, byte for byte, what `mtf predict` makes of the same files.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mobilenet_tf.data.catalog import DatasetInfo
from mobilenet_tf.data.duplicates import group_alike
from mobilenet_tf.data.exported import PREFIX, export_images
from mobilenet_tf.data.folder import index_images
from mobilenet_tf.data.image import ResizeRule
from mobilenet_tf.data.index import PARTS, TEST, TRAIN, VALIDATION, ImageIndex
from mobilenet_tf.data.partition import SMALL_TEST_COUNT, format_split, partition
from mobilenet_tf.data.splits import Split
from mobilenet_tf.data.stored import CACHE_FOLDER, check_unreadable, store_images, store_key
from mobilenet_tf.data.survey import survey_images
from mobilenet_tf.files import write_text
from mobilenet_tf.recipe import DataSettings, Recipe

log = logging.getLogger(__name__)
TRAINING_MARGIN = 1.15


@dataclass(frozen=True)
class FolderSettings:
    """What decides which images of a folder are in which part, and as which bytes.

    `holdout_share` 0 follows the number of images; more than `unreadable_share` of images that
    cannot be read is an error.
    """

    path: Path
    seed: int
    resolution_px: int
    resize: ResizeRule = "crop"
    holdout_share: float = 0.0
    unreadable_share: float = 0.01


@dataclass(frozen=True)
class Photographs:
    """The images of a folder, every part known, ready to be stored and read."""

    index: ImageIndex
    settings: FolderSettings
    cache: Path

    def split(self, part: int) -> tuple[Split, str]:
        """Return the images of one part and their fingerprint, decoding what is not stored yet.

        Raises:
            MtfError: too many images cannot be read, or the disk is full.
        """
        chosen = self.settings
        side_px = chosen.resolution_px
        if part == TRAIN:
            side_px = round(TRAINING_MARGIN * side_px)
        rows = self.index.keep(self.index.parts == part)
        stored, read = store_images(
            rows,
            resolution_px=side_px,
            rule=chosen.resize,
            cache=self.cache,
            unreadable_share=chosen.unreadable_share,
        )
        record = f"{stored.folder.name}\n{format_split(read)}"
        digest = hashlib.sha256(record.encode(errors="surrogateescape")).hexdigest()
        return Split(stored, read.labels), digest


def find_source(data: DataSettings, data_dir: Path | None) -> Path | None:
    """Return the folder or CSV file that a recipe names; None for a dataset of the catalog.

    A set of tensorflow-datasets ("tfds:NAME") is written as files the first time.

    Raises:
        as `exported.export_images` does.
    """
    if data.path:
        return Path(data.path).expanduser()
    return export_images(data.name, data_dir) if data.name.startswith(PREFIX) else None


def describe_source(index: ImageIndex, resolution_px: int) -> DatasetInfo:
    """Return what the catalog would say of a folder, as it stands before it is split."""
    origin = index.origin.resolve()
    name = origin.parent.name if origin.name == "images.csv" else origin.stem
    return DatasetInfo(
        name=re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "images",
        description=f"{len(index):,} images of {len(index.classes)} classes from {index.origin}",
        classes=index.classes,
        image_shape=(resolution_px, resolution_px, 3),
        train_count=len(index.rows(TRAIN)) + len(index.rows(VALIDATION)),
        test_count=len(index.rows(TEST)),
        source="folder",
        download_bytes=0,
        flip_safe=True,
        recipe="",
    )


def make_settings(recipe: Recipe, source: Path) -> FolderSettings:
    """Return the settings of a folder that a recipe gives."""
    return FolderSettings(
        path=source,
        seed=recipe.seed,
        resolution_px=recipe.model.resolution_px,
        resize=recipe.data.resize,
        holdout_share=recipe.data.holdout_share,
        unreadable_share=recipe.data.unreadable_share,
    )


def open_photographs(settings: FolderSettings, data_dir: Path) -> Photographs:
    """Return the images of a folder, split by the settings where it is not split already.

    The first time, every image is read to keep near-duplicates together and to leave out what
    cannot be read; the split is remembered below `data_dir`, by the state of the files.

    Raises:
        UsageError: the folder is not laid out as `folder.index_images` wants it, or a class has
            too few images to split.
        MtfError: too many images cannot be read.
    """
    index = index_images(settings.path)
    cache = data_dir / CACHE_FOLDER
    if not all(index.has(part) for part in (TRAIN, VALIDATION, TEST)):
        index = _split_once(index, settings, cache)
    counts = [int((index.parts == part).sum()) for part in range(len(PARTS))]
    log.info(
        "%s: %d classes; %s images",
        settings.path,
        len(index.classes),
        ", ".join(f"{count:,} {name}" for count, name in zip(counts, PARTS, strict=True)),
    )
    if counts[TEST] < SMALL_TEST_COUNT:
        half_width = 100 * 1.96 * (0.25 / counts[TEST]) ** 0.5
        log.info(
            "the test set is small: accuracy on %d images is known to within %.0f points at most",
            counts[TEST],
            half_width,
        )
    return Photographs(index, settings, cache)


def _split_once(index: ImageIndex, settings: FolderSettings, cache: Path) -> ImageIndex:
    """Return the index with every part filled, as remembered or newly made."""
    state = f"{store_key(index, 0, 'crop')} {settings.seed} {settings.holdout_share}"
    name = hashlib.sha256((state + format_split(index)).encode(errors="surrogateescape"))
    remembered = cache / f"split-{name.hexdigest()[:32]}.txt"
    if remembered.is_file():  # a digit for each row, X for what cannot be read
        digits = np.frombuffer(remembered.read_bytes(), np.uint8)
        readable = digits != ord("X")
        parts = (digits - ord("0")).astype(np.int8)
    else:
        survey = survey_images(index)
        check_unreadable(index, survey.reasons, settings.unreadable_share)
        readable = survey.readable
        divided = partition(
            index.keep(readable),
            group_alike(survey)[readable],
            seed=settings.seed,
            share=settings.holdout_share,
        )
        parts = np.zeros(len(index), np.int8)
        parts[readable] = divided.parts
        digits = np.where(readable, parts + ord("0"), ord("X")).astype(np.uint8)
        write_text(remembered, digits.tobytes().decode("ascii"))
    return replace(index, parts=parts).keep(readable)
