"""A folder of photographs as the splits that training, choices and the benchmark take.

Training images are stored a little larger than the model's input, so that crops have room;
validation and test images are, byte for byte, what `mtf predict` makes of the same files.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from msgspec import structs

from mobilenet_tf.data.bucket import fetch_folder, is_remote
from mobilenet_tf.data.exported import PREFIX, TABLE, export_images
from mobilenet_tf.data.folder import ARCHIVES, index_images, is_unread_picture
from mobilenet_tf.data.index import PARTS, TEST, TRAIN, VALIDATION, ImageIndex
from mobilenet_tf.data.partition import (
    SMALL_TEST_COUNT,
    default_share,
    find_missing,
    format_split,
    partition,
    restore_split,
)
from mobilenet_tf.data.sources import default_data_dir, refuse_photographs
from mobilenet_tf.data.splits import Split
from mobilenet_tf.data.stored import CACHE_FOLDER, check_unreadable, check_writable, store_images
from mobilenet_tf.data.survey import survey_images
from mobilenet_tf.errors import UsageError
from mobilenet_tf.files import write_text
from mobilenet_tf.recipe import Recipe, load_recipe, recipe_names, replace_settings
from mobilenet_tf.system.terminal import escape

log = logging.getLogger(__name__)
TRAINING_MARGIN = 1.15
_RULES = 2  # of `partition`: changes with which images it chooses
COURSES = {  # recipe -> images that pass in training, however many there are; fewest, most epochs
    "folder": (150_000, 15, 80),
    "transfer": (75_000, 8, 50),
}


@dataclass(frozen=True)
class Photographs:
    """The images of a folder, every part known, ready to be stored and read."""

    index: ImageIndex
    recipe: Recipe
    cache: Path

    def split(self, part: int) -> tuple[Split, str]:
        """Return the images of one part and their fingerprint, decoding what is not stored yet.

        Raises:
            MtfError: too many images cannot be read, or the disk is full.
        """
        data, side_px = self.recipe.data, self.recipe.model.resolution_px
        if part == TRAIN:
            side_px = round(TRAINING_MARGIN * side_px)
        rows = self.index.keep(self.index.parts == part)
        stored = store_images(
            rows,
            resolution_px=side_px,
            rule=data.resize,
            cache=self.cache,
            unreadable_share=data.unreadable_share,
        )
        digest = hashlib.sha256(stored.folder.name.encode() + stored.rows.tobytes())
        return Split(stored, stored.index.labels), digest.hexdigest()


def is_source(name: str) -> bool:
    """Say whether a name is of images: a folder, local or s3://…, a CSV file or "tfds:NAME"."""
    path = Path(name)
    try:
        found = name.startswith(PREFIX) or is_remote(name) or name.endswith("/") or path.is_dir()
        found = found or path.suffix.lower() in (".csv", *ARCHIVES)
    except (OSError, ValueError):  # no path
        return False
    return found and name not in recipe_names()


def open_source(name: str, data_dir: Path | None) -> Path:
    """Return the folder or CSV file of images; "tfds:NAME" and "s3://…" are copied to files first.

    Raises:
        as `exported.export_images` and `bucket.fetch_folder` do.
    """
    if is_remote(name):
        return fetch_folder(name, data_dir)
    if name.startswith(PREFIX):
        return export_images(name, data_dir)
    return Path(os.path.expanduser(name)).resolve()


def settle_source(recipe: Recipe, data_dir: Path | None) -> Recipe:
    """Return a recipe that names a folder with its classes, its name and its absolute path noted.

    From then on the recipe says enough of the folder for whoever reads a finished run. One that
    has its classes, or is of a dataset of the catalog, is returned as it is.

    Raises:
        UsageError: the folder is not laid out as `folder.index_images` wants it.
    """
    named = recipe.data.path or recipe.data.name
    if recipe.data.classes or not (recipe.data.path or named.startswith(PREFIX)):
        return recipe
    source = open_source(named, data_dir)
    index = index_images(source)
    if unread := [path for path in index.ignored if is_unread_picture(path)]:
        log.warning(
            "left out %s of a format that is not read, such as %s; convert to JPEG or PNG",
            f"{len(unread):,} picture{'' if len(unread) == 1 else 's'}",
            escape(unread[0]),
        )
    noted = {"name": name_source(source), "path": str(source), "classes": index.classes}
    return structs.replace(recipe, data=structs.replace(recipe.data, **noted))


def name_source(source: Path) -> str:
    """Return what a dataset and its run are called: as the folder or the CSV file is."""
    source = source.resolve()
    named = source.parent.name if source.name == TABLE else source.stem
    return re.sub(r"[^a-z0-9]+", "_", named.lower()).strip("_") or "images"


def choose_recipe(index: ImageIndex, *, transfer: bool) -> Recipe:
    """Return the recipe `transfer`, or `folder`, its batches and epochs following the images.

    Few images need many passes in small batches; learning rates follow the batch size, Adam's its
    root.
    """
    count = len(index.rows(TRAIN))
    if not index.has(VALIDATION):  # else a missing test set comes from there
        held_out = max(round(default_share(count) * count), len(index.classes))
        count -= held_out * len(find_missing(index))
    batch_size = next((size for size in (64, 32, 16) if count >= 8 * size), 8 if count >= 16 else 2)
    name = "transfer" if transfer else "folder"
    passed, fewest, most = COURSES[name]
    epochs = min(max(passed // max(count, 1), fewest), most)
    start = load_recipe(name)
    chosen: dict[str, float] = {"train.epochs": epochs, "qat.epochs": max(2, epochs // 10)}
    for section, fit in (("train", start.train), ("qat", start.qat)):
        share = batch_size / fit.batch_size
        slower = share if fit.optimizer == "sgd" else share**0.5
        chosen[f"{section}.batch_size"] = batch_size
        chosen[f"{section}.learning_rate"] = fit.learning_rate * slower
    return replace_settings(start, chosen)


def open_photographs(recipe: Recipe, data_dir: Path | None) -> Photographs:
    """Return the images of a recipe's folder, split by its settings where they are not already.

    The first time, every image is read to keep near-duplicates together and to leave out what
    cannot be read; the split is remembered below `data_dir`, by the state of the files.

    Raises:
        UsageError: the folder is not laid out as `folder.index_images` wants it, or a class has
            too few images to split.
        MtfError: too many images cannot be read.
    """
    source, root = Path(recipe.data.path), default_data_dir() if data_dir is None else data_dir
    refuse_photographs(root)
    index = index_images(source)
    if index.classes != recipe.data.classes:
        raise UsageError(
            f"{source} now has {len(index.classes)} classes, other ones than the"
            f" {len(recipe.data.classes)} that this run began with; begin another with --out"
        )
    cache = root / CACHE_FOLDER
    if find_missing(index):
        index = _split_once(index, recipe, cache)
    counts = [len(index.rows(part)) for part in range(len(PARTS))]
    log.info(
        "%s: %d classes; %s images",
        source,
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
    return Photographs(index, recipe, cache)


def _split_once(index: ImageIndex, recipe: Recipe, cache: Path) -> ImageIndex:
    """Return the readable images with every part filled, as remembered or newly made."""
    state = f"{_RULES} {index.fingerprint()} {recipe.seed} {recipe.data.holdout_share}"
    remembered = cache / f"split-{hashlib.sha256(state.encode()).hexdigest()[:32]}.csv"
    if not remembered.is_file():
        log.info("`mtf data check %s` says what is wrong with images before training", index.origin)
        check_writable(cache)
        survey = survey_images(index)
        check_unreadable(index, survey.reasons, recipe.data.unreadable_share)
        readable = survey.readable
        divided = partition(
            index.keep(readable),
            np.unique(survey.groups[readable], return_inverse=True)[1],
            seed=recipe.seed,
            share=recipe.data.holdout_share,
        )
        write_text(remembered, format_split(divided))
    parts = restore_split(index, remembered)
    return replace(index, parts=parts).keep(parts >= 0)
