"""Images of one's own: from a folder to a file that names its classes."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilenet_tf.cli.main import run_command
from mobilenet_tf.data import folder
from mobilenet_tf.errors import MtfError
from mobilenet_tf.pipeline.origins import check_unchanged, find_images
from mobilenet_tf.recipe import load_recipe, replace_settings
from mobilenet_tf.runs.results import load_mistakes
from mobilenet_tf.tflite.metadata import read_metadata

CLASSES = ("<script>", 'a "b"', "10 x")
IN_ORDER = ("10 x", "<script>", 'a "b"')


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """Return a folder of three classes with ten small images each."""
    random = np.random.RandomState(1)
    for label, name in enumerate(CLASSES):
        (tmp_path / "flowers" / name).mkdir(parents=True)
        for number in range(10):
            coarse = random.randint(0, 256, (5, 5, 3)).astype(np.uint8)
            coarse[..., label] //= 4
            image = Image.fromarray(coarse).resize((50, 40), Image.Resampling.BICUBIC)
            image.save(tmp_path / "flowers" / name / f"{number}.png")
    return tmp_path / "flowers"


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--dataset", "flowers/"),
        ("train", "--dataset", "cifar10", "--data-dir", "flowers"),
        ("run", "--set", "data.name=flowers"),
    ],
)
def test_a_folder_in_the_wrong_place_is_told_the_right_one(
    arguments: tuple[str, ...],
    flowers: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(flowers.parent)
    assert run_command(list(arguments)) == 2
    assert "--set data.path=flowers" in capsys.readouterr().err
    assert sorted(p.name for p in flowers.iterdir()) == sorted(CLASSES)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("empty", "holds no folder of images"),
        ("none/", "does not exist"),
        ("photos.zip", "unpack it first"),
        ("hidden", "cat holds no image"),
        ("deep", "deep/a/b if that is"),
        ("many", "has 4 classes"),
        ("twice.csv", "in line 2 already"),
        ("tfds:Bad Name", "is no name of a dataset"),
        ("tfds:../flowers", "is no name of a dataset"),
    ],
)
def test_what_is_no_dataset_is_told_and_leaves_no_run(
    given: str,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder, "CLASSES_MAX", 3)
    (tmp_path / "empty").mkdir()
    for name in ("hidden/cat/.1.jpg", "hidden/dog/.1.jpg", "deep/a/b/cat/1.jpg", "photos.zip"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for number in range(4):
        (tmp_path / f"many/{number}").mkdir(parents=True)
        (tmp_path / f"many/{number}/1.jpg").touch()
    (tmp_path / "twice.csv").write_text("path,label\nmany/0/1.jpg,a\nmany/0/1.jpg,b\n")
    assert run_command(["run", given, "--data-dir", "data"]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "artifacts").exists()
    assert not (tmp_path / "data").exists()


def test_a_folder_that_cannot_be_trained_on_leaves_no_run(
    flowers: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in CLASSES[1:]:
        shutil.rmtree(flowers / name)
    monkeypatch.chdir(flowers.parent)
    assert run_command(["run", "flowers"]) == 2
    assert "one class" in capsys.readouterr().err
    assert not (flowers.parent / "artifacts").exists()


def test_too_few_images_are_refused_at_once_in_the_words_of_the_check(
    flowers: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2, 10):
        (flowers / CLASSES[0] / f"{number}.png").unlink()
    monkeypatch.chdir(flowers.parent)
    assert run_command(["run", "flowers", "--data-dir", "data"]) == 2
    refused = capsys.readouterr().err
    assert run_command(["data", "check", "flowers", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    short = next(finding for finding in findings if finding["kind"] == "class_too_small")
    assert f"{short['what']}; {short['advice']}" in refused
    assert "<script> (2)" in refused
    assert not (flowers.parent / "artifacts").exists()


def test_a_run_among_its_images_is_refused(
    flowers: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(flowers)
    assert run_command(["run", ".", "--weights", "", "--data-dir", str(flowers.parent / "x")]) == 2
    assert "--out" in capsys.readouterr().err
    assert sorted(p.name for p in flowers.iterdir()) == sorted(CLASSES)


def test_batches_of_more_images_than_there_are_are_refused_at_once(
    flowers: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(flowers.parent)
    assert run_command(["run", "cifar10", "--set", "data.path=flowers"]) == 2
    assert "train.batch_size 128 is larger than the 30 images" in capsys.readouterr().err
    assert not (flowers.parent / "artifacts").exists()


def test_images_that_change_while_a_run_works_are_not_measured_on(flowers: Path) -> None:
    settings = {"data.path": str(flowers), "train.batch_size": 8, "qat.batch_size": 8}
    began = find_images(replace_settings(load_recipe("folder"), settings))
    assert began is not None
    check_unchanged(began)
    (flowers / CLASSES[0] / "0.png").write_bytes(b"no longer an image")
    with pytest.raises(MtfError, match="have changed since this run began"):
        check_unchanged(began)


@pytest.mark.parametrize("dataset", ["cifar10", "flowers"])
def test_photographs_as_the_folder_of_datasets_are_refused_at_once(
    dataset: str,
    flowers: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(flowers.parent)
    monkeypatch.setitem(sys.modules, "mobilenet_tf.keras", None)  # nothing is built
    assert run_command(["run", dataset, "--data-dir", "flowers", "--set", "train.weights="]) == 2
    assert "mtf run flowers" in capsys.readouterr().err
    assert sorted(p.name for p in flowers.iterdir()) == sorted(CLASSES)


@pytest.mark.slow
def test_a_folder_becomes_a_file_that_needs_the_folder_no_more(
    flowers: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = {
        "model.resolution_px": 32,
        "model.alpha": 0.05,
        "model.block_count": 1,
        "data.resize": "pad",
        "train.epochs": 1,
        "qat.epochs": 1,
        "export.quantizations": '["int8_qat"]',
        "benchmark.latency_runs": 2,
    }
    chosen = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    run = ["run", "flowers", *chosen, "--data-dir", str(tmp_path / "cache")]
    monkeypatch.chdir(tmp_path)
    assert run_command(run) == 0
    assert "skipped" not in capsys.readouterr().out
    assert run_command(run) == 0
    assert "skipped" in capsys.readouterr().out
    folder = tmp_path / "artifacts" / "flowers"
    split = (folder / "train/split.csv").read_text("utf-8")
    assert split.count(",train\n") == 18
    assert split.count(",validation\n") == split.count(",test\n") == 6

    assert run_command(["evaluate", str(folder), "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert (evaluated["count"], evaluated["part"]) == (12, "validation and test")
    image = shutil.copy(flowers / CLASSES[0] / "0.png", tmp_path / "one.png")
    shutil.rmtree(flowers)
    assert run_command(["report", str(folder), "--overwrite"]) == 0
    page = (folder / "report/report.html").read_text("utf-8")
    assert "<td><script>" not in page
    mistakes = load_mistakes(folder / "benchmark")
    assert page.count('<img src="data:image/jpeg;base64,') == 2 * len(mistakes)
    assert all(mistake.image.startswith(f"{mistake.label}/") for mistake in mistakes)
    report = json.loads((folder / "report/report.json").read_text("utf-8"))
    assert tuple(report["classes"]) == IN_ORDER
    (file,) = (folder / "export").glob("*_int8_qat.tflite")
    tried = report["stages"]["benchmark"]["metrics"]["preparations"]
    assert (tried["rule"], tried["image_count"], tried["turned_count"]) == ("pad", 6, 0)
    assert set(tried["top1"]) == {"crop", "pad", "stretch", "sideways", "bgr"}
    int8 = next(row for row in report["rows"] if row["format"] == "tflite")
    assert len(mistakes) == round(6 * (1 - int8["top1"]))
    assert tried["top1"]["pad"] == tried["top1"]["sideways"] == int8["top1"]
    metadata = read_metadata(file)
    assert metadata is not None
    assert (metadata.classes, metadata.resize) == (IN_ORDER, "pad")
    assert metadata.temperature == report["stages"]["qat"]["metrics"]["temperature"] > 0
    capsys.readouterr()
    assert run_command(["predict", str(file), str(image), "--json"]) == 0
    predicted = json.loads(capsys.readouterr().out)
    assert predicted["images"][0]["classes"][0]["name"] in CLASSES
