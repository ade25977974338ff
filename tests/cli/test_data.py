from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from mobilenet_tf.cli.main import mtf as group
from mobilenet_tf.errors import UsageError
from mobilenet_tf.evaluation.predict import Predictor
from mobilenet_tf.zoo.shelf import find_tflite

CLASSES = ("cat", "dog")
MODEL = "cifar10_v1_025_r32"


def save_photo(path: Path, seed: int) -> Path:
    coarse = np.random.RandomState(seed).randint(0, 256, (6, 6, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((40, 36), Image.Resampling.BICUBIC).save(path)
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["data", "check", *map(str, arguments)])


def findings(*arguments: object) -> dict[str, Any]:
    found = json.loads(call(*arguments, "--json").stdout)["findings"]
    return {finding["kind"]: finding for finding in found}


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    root = tmp_path / "pets"
    seed = 0
    for part, count in (("train", 55), ("validation", 6), ("test", 6)):
        for name in CLASSES:
            for number in range(count):
                save_photo(root / part / name / f"{number}.png", seed)
                seed += 1
    return root


@pytest.fixture
def dirty(clean: Path) -> Path:
    """A copy in training of a validation and of a test image, a duplicate, two labels, damage."""

    def copy(source: str, target: str) -> None:
        (clean / target).write_bytes((clean / source).read_bytes())

    copy("validation/cat/0.png", "train/cat/leak.png")
    copy("train/cat/1.png", "train/cat/twice.png")
    copy("train/cat/2.png", "train/dog/either.png")
    (clean / "train/dog/3.png").write_bytes(b"no image")
    whole = (clean / "train/dog/4.png").read_bytes()
    (clean / "train/dog/4.png").write_bytes(whole[:200])
    return clean


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_clean_folder_has_nothing_to_repair(clean: Path) -> None:
    done = call(clean)
    assert done.exit_code == 0
    assert findings(clean) == {}


def test_what_must_be_repaired_ends_with_code_1_and_is_named(dirty: Path) -> None:
    done = call(dirty)
    assert getattr(done.exception, "exit_code", 0) == 1
    found = findings(dirty)
    assert {kind for kind, its in found.items() if its["severity"] == "error"} == {
        "leakage",
        "two_labels",
        "unreadable",
    }
    assert found["leakage"]["removed"] == ["train/cat/leak.png"]
    assert found["duplicate"]["removed"] == ["train/cat/twice.png"]
    assert sorted(found["two_labels"]["removed"]) == ["train/cat/2.png", "train/dog/either.png"]


def test_fix_moves_and_undo_moves_back(dirty: Path) -> None:
    before = files(dirty)
    done = call(dirty, "--fix")
    assert done.exit_code == 0, done.output
    removed = dirty.with_name("pets-removed")
    assert len(files(removed)) == 6
    assert files(dirty) | files(removed) == before
    assert call(dirty).exit_code == 0
    assert call(dirty, "--undo").exit_code == 0
    assert files(dirty) == before
    assert not removed.exists()
    assert isinstance(call(dirty, "--undo").exception, UsageError)


def test_fix_of_a_class_that_is_a_link_to_another_moves_each_file_once(dirty: Path) -> None:
    (dirty / "train/twin").symlink_to("cat")
    before = files(dirty)
    moved = json.loads(call(dirty, "--fix", "--json").stdout)["moved"]
    assert not list((dirty / "train/cat").iterdir())
    assert {target for _, target in moved} == {
        str(path) for path in dirty.with_name("pets-removed").rglob("*") if path.is_file()
    }
    assert call(dirty, "--undo").exit_code == 0
    assert files(dirty) == before


def test_fix_of_a_csv_file_writes_another(dirty: Path) -> None:
    table = dirty / "labels.csv"
    lines = ["path,label,split"]
    for path in sorted((dirty).rglob("*.png")):
        part, name, file = path.relative_to(dirty).parts
        lines.append(f'"{part}/{name}/{file}",{name},{part}')
    other_ends = "test/cat/\u2028\x0c.png"
    (dirty / other_ends).write_bytes(b"no image")
    lines.append(f"{other_ends},cat,test")
    table.write_text("\n".join(lines) + "\n")
    before = files(dirty)
    assert call(table, "--fix").exit_code == 0
    checked = dirty / "labels.checked.csv"
    kept = checked.read_text().rstrip("\n").split("\n")
    assert len(kept) == len(lines) - 7
    assert set(kept) <= set(lines)
    assert files(dirty) == before | {"labels.checked.csv": checked.read_bytes()}
    assert call(checked).exit_code == 0
    checked.write_text("what somebody made of it")
    assert isinstance(call(table, "--fix").exception, UsageError)
    assert checked.read_text() == "what somebody made of it"


def test_fix_leaves_one_of_an_image_in_three_parts(clean: Path) -> None:
    lines = ["path,label,split"]
    for part in ("train", "validation", "test"):  # in the order of the file, training images first
        (clean / part / "cat/same.png").write_bytes((clean / "test/cat/0.png").read_bytes())
        lines += [
            f"{p.relative_to(clean)},{p.parent.name},{part}" for p in clean.glob(f"{part}/*/*")
        ]
    table = clean / "labels.csv"
    table.write_text("\n".join(lines) + "\n")
    assert call(table, "--fix").exit_code == 0
    assert set(findings(clean / "labels.checked.csv")) <= {"duplicate"}  # within the test images


def test_small_and_uneven_classes(tmp_path: Path) -> None:
    for number in range(2):
        save_photo(tmp_path / f"rare/{number}.png", number)
    for number in range(30):
        save_photo(tmp_path / f"common/{number}.png", 100 + number)
    (tmp_path / "rare" / "IMG_1.HEIC").touch()
    (tmp_path / "notes.txt").touch()
    found = findings(tmp_path)
    assert found["other_format"]["severity"] == "warning"
    assert found["other_format"]["groups"] == [["rare/IMG_1.HEIC"]]
    assert found["ignored"]["groups"] == [["notes.txt"]]
    assert found["class_too_small"]["severity"] == "error"
    assert {"class_small", "imbalance"} <= set(found)


def test_the_page_escapes_what_the_dataset_says_and_loads_nothing(clean: Path) -> None:
    hostile = "<script>alert(1)<|script>"
    (clean / "train/dog").rename(clean / "train" / hostile)
    for part in ("validation", "test"):
        (clean / part / "dog").rename(clean / part / hostile)
    (clean / "train" / hostile / '"><img src=x>\x1b[2J.png').write_bytes(b"no image")
    page = clean.parent / "page.html"
    done = call(clean, "--html", page)
    assert "\x1b" not in done.output
    text = page.read_text("utf-8")
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "\x1b" not in text
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in html.unescape(text)
    assert text.count("data:image/jpeg") > 10


def test_a_folder_that_is_no_dataset_is_a_usage_error(tmp_path: Path) -> None:
    assert isinstance(call(tmp_path).exception, UsageError)
    assert isinstance(call(tmp_path / "none").exception, UsageError)


def test_a_model_doubts_the_label_of_an_image_that_was_filed_wrongly(tmp_path: Path) -> None:
    photos = [save_photo(tmp_path / f"{seed}.png", seed) for seed in range(40)]
    predictor = Predictor(find_tflite(Path(MODEL)))
    rows = np.stack([row for _, row in predictor.classify(photos) if isinstance(row, np.ndarray)])
    predicted = rows.argmax(1)
    surest = int(rows.max(1).argmax())
    others = [label for label in set(predicted.tolist()) if label != predicted[surest]]
    wrong = predictor.classes[others[0]]
    for number, photo in enumerate(photos):
        name = wrong if number == surest else predictor.classes[predicted[number]]
        target = tmp_path / "filed" / name / photo.name
        target.parent.mkdir(parents=True, exist_ok=True)
        photo.rename(target)
    page = tmp_path / "page.html"
    found = findings(tmp_path / "filed", "--model", MODEL, "--html", page)["label"]
    assert found["groups"] == [[f"{wrong}/{surest}.png"]]
    assert found["severity"] == "warning"
    assert predictor.classes[predicted[surest]] in found["notes"][0]
    assert html.escape(found["notes"][0]) in page.read_text("utf-8")
    assert "label" not in findings(tmp_path / "filed")
