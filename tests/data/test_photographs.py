"""From files to splits: what is alike, how it is divided, what is stored and read back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from mobilenet_tf import files
from mobilenet_tf.data import stored
from mobilenet_tf.data.batches import TrainingBatches
from mobilenet_tf.data.catalog import recipe_dataset
from mobilenet_tf.data.folder import index_images
from mobilenet_tf.data.image import load_image
from mobilenet_tf.data.index import TEST, TRAIN, VALIDATION
from mobilenet_tf.data.partition import default_share, format_split, partition, restore_split
from mobilenet_tf.data.photographs import (
    choose_recipe,
    is_source,
    open_photographs,
    settle_source,
)
from mobilenet_tf.data.splits import Split
from mobilenet_tf.data.survey import survey_images
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.recipe import AugmentationSettings, Recipe, load_recipe, replace_settings

Make = Callable[..., Path]


@pytest.fixture
def alike(tmp_path: Path, make_folder: Make, save_photo: Make) -> Path:
    """Two classes of 6 different images; in a: a copy, a smaller one and a darker one of 0."""
    root = make_folder(tmp_path / "alike", {"a": 6, "b": 6})
    original = Image.open(root / "a/0.png")
    (root / "a/copy.png").write_bytes((root / "a/0.png").read_bytes())
    original.resize((36, 30)).save(root / "a/small.jpg", quality=85)
    Image.eval(original, lambda level: int(level * 0.97)).save(root / "a/zdark.png")
    return root


def test_equal_and_similar_images_are_found_and_others_are_not(alike: Path) -> None:
    survey = survey_images(index_images(alike))
    paths = survey.index.paths
    assert [[paths[i] for i in pair] for pair in survey.exact_pairs.tolist()] == [
        ["a/0.png", "a/copy.png"]
    ]
    near = {paths[i] for pair in survey.near_pairs.tolist() for i in pair}
    assert near == {"a/0.png", "a/copy.png", "a/small.jpg", "a/zdark.png"}
    groups = survey.groups
    assert len(set(groups.tolist())) == len(paths) - 3


def test_images_of_one_colour_are_not_alike(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / str(number % 2)).mkdir(exist_ok=True)
        Image.new("RGB", (20, 20), (60 * number, 0, 0)).save(
            tmp_path / f"{number % 2}/{number}.png"
        )
    survey = survey_images(index_images(tmp_path))
    assert survey.flat.all()
    assert not len(survey.near_pairs)


def test_a_survey_tells_size_mode_turn_and_why_not(tmp_path: Path, save_photo: Make) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save_photo(tmp_path / "a/1.jpg", 1, exif=exif)
    Image.new("L", (9, 7)).save(tmp_path / "a/2.png")
    (tmp_path / "b").mkdir()
    whole = save_photo(tmp_path / "b/1.png", 2).read_bytes()
    (tmp_path / "b/1.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b/2.png").write_bytes(b"")
    survey = survey_images(index_images(tmp_path))
    assert survey.readable.tolist() == [True, True, False, False]
    assert set(survey.reasons) == {2, 3}
    assert survey.looks["size"][:2].tolist() == [[40, 48], [9, 7]]
    assert survey.looks["mode"].tolist() == ["RGB", "L", "", ""]
    assert survey.looks["turned"].tolist() == [True, False, False, False]


@pytest.mark.parametrize("seed", range(8))
def test_a_split_holds_every_class_and_keeps_groups_together(alike: Path, seed: int) -> None:
    index = index_images(alike)
    groups = survey_images(index).groups
    divided = partition(index, groups, seed=seed)
    for part in (TRAIN, VALIDATION, TEST):
        assert set(divided.labels[divided.rows(part)].tolist()) == {0, 1}
    for group in set(groups.tolist()):
        assert len(set(divided.parts[groups == group].tolist())) == 1
    assert format_split(divided) == format_split(partition(index, groups, seed=seed))
    assert format_split(divided) != format_split(partition(index, groups, seed=seed + 1))


def test_a_split_written_beside_the_images_is_the_same_dataset(alike: Path) -> None:
    (alike / "b/0.png").rename(alike / "b/a\r\u2028b.png")
    divided = partition(index_images(alike), np.arange(15), seed=1)
    table = alike / "split.csv"
    table.write_text(format_split(divided))
    again = index_images(table)
    assert again.paths == divided.paths
    assert again.parts.tolist() == divided.parts.tolist()
    assert restore_split(index_images(alike), table).tolist() == divided.parts.tolist()


@pytest.mark.parametrize("given", ["validation", "test"])
def test_given_parts_stay_and_the_missing_one_is_taken_from_training(
    tmp_path: Path, make_folder: Make, given: str
) -> None:
    root = make_folder(tmp_path, {"train/a": 20, "train/b": 20, f"{given}/a": 3, f"{given}/b": 1})
    index, part, missing = index_images(root), VALIDATION, TEST
    if given == "test":
        part, missing = missing, part
    divided = partition(index, np.arange(len(index)), seed=3)
    assert divided.rows(part).tolist() == index.rows(part).tolist()
    assert len(divided.rows(missing)) == 6  # 15 % of each class
    more = partition(index, np.arange(len(index)), seed=3, share=0.4)
    assert len(more.rows(missing)) == 16


def test_half_of_the_validation_images_become_a_missing_test_set(
    tmp_path: Path, make_folder: Make
) -> None:
    root = make_folder(
        tmp_path, {"train/a": 20, "train/b": 20, "train/c": 3, "val/a": 12, "val/b": 3}
    )
    index, groups = index_images(root), np.arange(58)
    groups[index.rows(VALIDATION)[:4]] = 0  # of a, and alike
    divided = partition(index, groups, seed=1)
    assert divided.rows(TRAIN).tolist() == index.rows(TRAIN).tolist()
    assert len(set(divided.parts[groups == 0]) - {TRAIN}) == 1
    counts = np.bincount(divided.labels[divided.rows(TEST)]).tolist()
    assert counts == [6, 2]
    chosen = partition(index, groups, seed=1, share=0.3)  # a share is one of the training images
    assert chosen.rows(VALIDATION).tolist() == index.rows(VALIDATION).tolist()


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_with_too_few_different_images_is_refused(
    tmp_path: Path, make_folder: Make, count: int
) -> None:
    root = make_folder(tmp_path, {"a": 5, "b": count})
    with pytest.raises(UsageError, match=rf"training: b \({count}\)"):
        partition(index_images(root), np.arange(5 + count), seed=1)
    index = index_images(make_folder(tmp_path, {"b": 3}))
    with pytest.raises(UsageError, match=r"training: b \(2\)"):  # two of its three are the same
        partition(index, np.array([0, 1, 2, 3, 4, 5, 6, 6]), seed=1)


def test_an_image_under_two_labels_stays_on_one_side(tmp_path: Path, make_folder: Make) -> None:
    index = index_images(make_folder(tmp_path, {"a": 6, "b": 6}))
    groups = np.array([0, 1, 2, 3, 4, 5, 0, 1, 6, 7, 8, 9])
    for seed in range(10):
        parts = partition(index, groups, seed=seed).parts
        assert (parts[[0, 1]] == parts[[6, 7]]).all()


@pytest.mark.parametrize(("count", "held_out"), [(100, 15), (3000, 300), (1_000_000, 5000)])
def test_the_share_held_out_follows_the_number_of_images(count: int, held_out: int) -> None:
    assert round(default_share(count) * count) == held_out


def settings(path: Path, **changes: object) -> Recipe:
    given = {f"data.{name}": value for name, value in changes.items()}
    given |= {"data.path": str(path), "model.resolution_px": 20}
    return settle_source(replace_settings(Recipe(), given), None)


def test_validation_and_test_are_what_predict_sees_and_training_has_a_margin(
    alike: Path, tmp_path: Path
) -> None:
    photographs = open_photographs(settings(alike, resize="pad"), tmp_path / "data")
    for part, side_px in ((TRAIN, 23), (VALIDATION, 20), (TEST, 20)):
        split, digest = photographs.split(part)
        rows = photographs.index.rows(part)
        expected = [load_image(photographs.index.path(r), side_px, side_px, "pad") for r in rows]
        np.testing.assert_array_equal(split.images[:], expected)
        np.testing.assert_array_equal(split.images[np.array([1, 0])], [expected[1], expected[0]])
        np.testing.assert_array_equal(split.images[-1], expected[-1])
        assert split.labels.tolist() == photographs.index.labels[rows].tolist()
        assert len(digest) == 64


def test_what_was_decoded_and_split_once_is_used_again(
    alike: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "_SHARD_BYTES", 3 * 23 * 23 * 3)  # three images in a shard
    once = open_photographs(settings(alike), tmp_path / "data")
    split, digest = once.split(TRAIN)
    before = split.images[:]
    shards = sorted(split.images.folder.glob("*.u8"))
    assert len(shards) == -(-len(split) // 3)
    shards[1].unlink()  # as if the run had been killed
    decoded: list[Path] = []
    load = stored.load_image
    monkeypatch.setattr(
        stored, "load_image", lambda path, **rest: decoded.append(path) or load(path, **rest)
    )
    again, same = open_photographs(settings(alike), tmp_path / "data").split(TRAIN)
    assert len(decoded) == 3
    assert same == digest
    np.testing.assert_array_equal(again.images[:], before)
    os.utime(once.index.path(int(once.index.rows(TRAIN)[0])), ns=(1, 1))
    open_photographs(settings(alike), tmp_path / "data").split(TRAIN)
    assert len(decoded) > 3


def test_few_unreadable_images_are_left_out_and_many_end_the_run(
    alike: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (alike / "b/0.png").write_bytes(b"no image")
    with pytest.raises(MtfError, match="1 of 15"):
        open_photographs(settings(alike), tmp_path / "data")
    photographs = open_photographs(settings(alike, unreadable_share=0.1), tmp_path / "data")
    assert "b/0.png" in caplog.text
    assert len(photographs.index) == 14
    # one that becomes unreadable between the look at all and the decoding
    row = int(photographs.index.rows(TRAIN)[0])
    photographs.index.path(row).write_bytes(b"gone bad")
    split, _ = photographs.split(TRAIN)
    assert len(split) == len(split.labels) == len(photographs.index.rows(TRAIN)) - 1
    expected = load_image(photographs.index.path(int(photographs.index.rows(TRAIN)[1])), 23, 23)
    np.testing.assert_array_equal(split.images[0], expected)


def test_a_full_disk_is_said_before_it_is_full(
    alike: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SPARE_BYTES", 2**60)
    with pytest.raises(MtfError, match="GB are free"):
        open_photographs(settings(alike), tmp_path / "data").split(TRAIN)


def test_a_cache_that_takes_no_files_is_refused_before_images_are_read(
    alike: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored.os, "access", lambda *_: False)
    monkeypatch.setattr("mobilenet_tf.data.photographs.survey_images", None)
    with pytest.raises(MtfError, match="--data-dir"):
        open_photographs(settings(alike), tmp_path / "data")


def test_batches_from_disk_equal_batches_from_memory(alike: Path, tmp_path: Path) -> None:
    split, _ = open_photographs(settings(alike), tmp_path / "data").split(TRAIN)
    held = Split(split.images[:], split.labels)
    augment = AugmentationSettings(random_resized_crop_scale=0.3, trivial_augment=True)
    batches = [
        list(
            TrainingBatches(
                split=some,
                augmentation=augment,
                resolution_px=20,
                batch_size=4,
                class_count=2,
                seed=1,
                epochs=2,
            )
            .from_epoch()
            .as_numpy_iterator()
        )
        for some in (split, held)
    ]
    assert len(batches[0]) == 2 * (len(split) // 4)
    for (images, targets), (others, their) in zip(*batches, strict=True):
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(targets, their)


def test_a_recipe_notes_what_must_be_known_of_its_folder(alike: Path) -> None:
    recipe = load_recipe("quickstart", (f"data.path={alike}",))
    settled = settle_source(recipe, None)
    assert settled.data == replace(
        recipe.data, name="alike", path=str(alike.resolve()), classes=("a", "b")
    )
    shutil.rmtree(alike)
    assert settle_source(settled, None) is settled
    info = recipe_dataset(settled)
    assert (info.name, info.classes, info.source) == ("alike", ("a", "b"), "folder")
    named = load_recipe("quickstart")
    assert settle_source(named, None) is named
    assert recipe_dataset(named).name == "digits"


def test_pictures_that_are_not_read_are_told(alike: Path, recorder: Any) -> None:
    (alike / "b" / "IMG_1.HEIC").touch()
    (alike / "b" / "notes.txt").touch()
    settle_source(load_recipe("quickstart", (f"data.path={alike}",)), None)
    (message,) = recorder.messages
    assert "1 picture " in message
    assert "b/IMG_1.HEIC" in message


def test_classes_that_changed_since_end_the_run(alike: Path, tmp_path: Path, save_photo) -> None:
    recipe = settings(alike)
    save_photo(alike / "c/0.png", 99)
    with pytest.raises(UsageError, match="3 classes"):
        open_photographs(recipe, tmp_path / "data")


def test_batches_and_epochs_follow_the_number_of_images(tmp_path: Path) -> None:
    chosen = []
    for count in (2, 100, 2000):
        root = tmp_path / str(count)
        for name in "ab":
            (root / name).mkdir(parents=True)
            for number in range(count):
                (root / name / f"{number}.jpg").touch()
        for transfer in (False, True):
            recipe = choose_recipe(index_images(root), transfer=transfer)
            fit = recipe.train
            assert fit.head_first == (fit.optimizer == "adamw") == transfer
            chosen.append((fit.batch_size, fit.epochs, recipe.qat.batch_size))
    assert chosen[::2] == [(2, 80, 2), (16, 80, 16), (64, 46, 64)]
    assert chosen[1::2] == [(2, 50, 2), (16, 50, 16), (64, 23, 64)]


def test_a_folder_of_images_is_told_from_a_recipe(
    alike: Path,
) -> None:
    assert is_source(str(alike))
    assert is_source("labels.csv")
    assert is_source("tfds:oxford_flowers102")
    assert not is_source("quickstart")
    assert not is_source("missing.toml")
    assert not is_source("x" * 5000)


@pytest.mark.slow
def test_real_photographs_hold_a_pair_under_two_labels(clothing_dir: Path) -> None:
    survey = survey_images(index_images(clothing_dir))
    assert survey.readable.all()
    pairs = survey.near_pairs
    assert len(pairs) == 2
    labels = survey.index.labels[pairs]
    assert (labels[:, 0] != labels[:, 1]).sum() == 1
