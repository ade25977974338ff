from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilenet_tf.cli.main import run_command
from mobilenet_tf.data.folder import index_images
from mobilenet_tf.data.index import TEST, TRAIN
from mobilenet_tf.data.partition import SPLIT_FILE, format_split
from mobilenet_tf.pipeline.evaluation import choose_images
from mobilenet_tf.recipe import load_recipe, replace_settings
from mobilenet_tf.runs.folder import RunFolder

MODEL = "cifar10_v1_025_r32"
Capture = pytest.CaptureFixture[str]
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that writes a few images of noise for each class of a new folder."""

    def write(*classes: str, folder: str = "images", count: int = 3) -> Path:
        random = np.random.RandomState(0)
        for name in classes:
            place = tmp_path / folder / name
            place.mkdir(parents=True)
            for number in range(count):
                noise = random.randint(0, 256, (40, 36, 3)).astype(np.uint8)
                Image.fromarray(noise).save(place / f"{number}.png")
        return tmp_path / folder

    return write


def evaluate(capsys: Capture, *arguments: object, code: int = 0) -> dict:
    assert run_command(["evaluate", MODEL, *map(str, arguments), "--json"]) == code
    answer: dict = json.loads(capsys.readouterr().out)
    return answer


def test_figures_fit_together(capsys: Capture, make: Make) -> None:
    answer = evaluate(capsys, make("Cat", "d_o_g", "SHIP", "teapot"))
    assert (answer["count"], answer["unknown"]["count"]) == (9, 3)
    assert answer["unknown"]["classes"] == ["teapot"]
    assert len(answer["missing"]) == 7
    confusion = np.array(answer["confusion"])
    assert confusion.shape == (10, 10)
    assert confusion.sum() == 9
    assert answer["top1"] == pytest.approx(np.trace(confusion) / 9)
    assert sum(each["count"] for each in answer["reliability"]) == 9
    assert answer["coverage"][-1]["coverage"] == 1
    assert answer["coverage"][-1]["accuracy"] == pytest.approx(answer["top1"])
    recalls = [each["recall"] for each in answer["classes"] if each["count"]]
    assert answer["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    mistakes = answer["worst_mistakes"]
    assert all(each["label"] != each["predicted"] for each in mistakes)
    sure = [each["confidence"] for each in mistakes]
    assert sure == sorted(sure, reverse=True)


def test_a_threshold_that_is_asked_for_is_applied(capsys: Capture, make: Make) -> None:
    images, strange = make("cat", "dog"), make("a/b", folder="other")
    answer = evaluate(capsys, images, "--unknown", strange, "--threshold", 1)
    assert answer["threshold"] == {
        "value": 1.0, "origin": "option", "coverage": 0.0, "accuracy": None
    }  # fmt: skip
    assert answer["unknown"]["unsure"] == 1
    assert answer["unknown"]["count"] == 3


def test_every_image_has_a_line_of_csv(capsys: Capture, make: Make) -> None:
    images = make("cat", "dog")
    assert run_command(["evaluate", MODEL, str(images), "--csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["label"] for line in lines] == ["cat"] * 3 + ["dog"] * 3
    for line in lines:
        assert Path(line["path"]).is_file()
        assert line["confidence"] == line[line["prediction"]]


def test_people_read_what_json_has(capsys: Capture, make: Make) -> None:
    assert run_command(["evaluate", MODEL, str(make("cat", "dog", "a<b>"))]) == 0
    answer = capsys.readouterr().out
    assert "top-1" in answer
    assert "a<b>" in answer


def test_a_page_holds_all_and_asks_for_nothing(capsys: Capture, make: Make, tmp_path: Path) -> None:
    images, page = make("cat", "dog", "<b>x"), tmp_path / "page.html"
    (images / "cat" / "0.png").rename(images / "cat" / "<script>0.png")
    (images / "dog" / "broken.png").write_bytes(b"")
    assert run_command(["evaluate", MODEL, str(images), "--html", str(page)]) == 1
    text = page.read_text("utf-8")
    assert text.count("<svg") == 3
    assert text.count('<img src="data:image/jpeg;base64,') >= 9
    assert "&lt;script&gt;0.png" in text
    assert "broken.png" in text
    assert "<script" not in text
    assert "<b>" not in text
    assert "img-src data:" in text
    assert not re.search(r"(src|href)=.?(https?:|//|/)", text)


def test_images_that_cannot_be_read_are_named_and_counted(capsys: Capture, make: Make) -> None:
    images = make("cat", "dog")
    (images / "cat" / "1.png").write_bytes(b"no image")
    assert run_command(["evaluate", MODEL, str(images), "--json"]) == 1
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert answer["count"] == 5
    assert [Path(each["path"]).name for each in answer["unreadable"]] == ["1.png"]
    assert "error: 1 of 6 images" in captured.err


def test_a_labels_file_names_the_classes(capsys: Capture, make: Make, tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("\n".join(f"thing {number}" for number in range(10)))
    answer = evaluate(capsys, make("thing_3", "thing_7"), "--labels", file)
    assert [each["count"] for each in answer["classes"]] == [0, 0, 0, 3, 0, 0, 0, 3, 0, 0]


def test_the_test_part_of_a_folder_is_taken(capsys: Capture, make: Make) -> None:
    images = make("test/cat", "train/cat", "train/dog", "train/bird")
    assert evaluate(capsys, images)["count"] == 3
    answer = evaluate(capsys, images, "--part", "all")
    assert (answer["count"], answer["part"]) == (12, "train and test")


def test_the_current_folder_may_hold_the_images(
    capsys: Capture, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make("cat", "dog"))
    assert evaluate(capsys, ".")["count"] == 6
    run = RunFolder(tmp_path / "run")  # on a named dataset: no folder is its own
    run.path.mkdir()
    run.save_recipe(load_recipe("cifar10"))
    assert choose_images(run.path, Path(), None)[0].classes == ("cat", "dog")


def test_what_the_run_of_a_file_has_learned_is_left_out(make: Make, tmp_path: Path) -> None:
    images, run = make("cat", "dog"), RunFolder(tmp_path / "run")
    for stage in ("train", "export"):
        run.stage(stage).mkdir(parents=True)
    run.save_recipe(replace_settings(load_recipe("folder"), {"data.path": str(images)}))
    index = index_images(images)
    split = replace(index, parts=np.array([TRAIN, TRAIN, TEST] * 2, np.int8))
    (run.stage("train") / SPLIT_FILE).write_text(format_split(split))
    file = run.stage("export") / "int8.tflite"
    file.touch()
    for given in (images, None):
        chosen, part = choose_images(file, given, None)
        assert (chosen.paths, part) == (("cat/2.png", "dog/2.png"), "test")
    elsewhere = tmp_path / "int8.tflite"
    elsewhere.touch()
    assert len(choose_images(elsewhere, images, None)[0]) == 6


@pytest.mark.parametrize("part", ["train", "all"])
def test_training_images_are_told(capsys: Capture, make: Make, part: str) -> None:
    images = make("test/cat", "train/cat", "train/dog")
    assert run_command(["evaluate", MODEL, str(images), "--part", part]) == 0
    assert "training images are among them" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "no images"),
        (["gone"], "gone"),
        (["images", "--part", "test"], "test"),
        (["images", "--labels", "gone"], "gone"),
        (["images", "--unknown", "gone"], "gone"),
        (["images", "--threshold", "2"], "threshold"),
        (["images", "--json", "--csv"], "--csv"),
        (["strange"], "teapot"),
    ],
)
def test_bad_requests_are_refused(
    capsys: Capture, make: Make, arguments: list[str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("teapot", folder="strange")
    monkeypatch.chdir(make("cat", "dog").parent)
    assert run_command(["evaluate", MODEL, *arguments]) == 2
    assert named in capsys.readouterr().err


@pytest.mark.slow  # 500 images through two paths
def test_it_agrees_with_the_benchmark_on_every_image(
    capsys: Capture, cifar10_dir: Path, tmp_path: Path
) -> None:
    from mobilenet_tf.data.catalog import dataset_info
    from mobilenet_tf.data.image import load_image
    from mobilenet_tf.data.sources import load_test_split
    from mobilenet_tf.evaluation.metrics import predict_all
    from mobilenet_tf.evaluation.predict import to_probabilities
    from mobilenet_tf.tflite.interpreter import Classifier
    from mobilenet_tf.zoo.shelf import find_tflite

    test, names = load_test_split("cifar10", cifar10_dir), dataset_info("cifar10").classes
    lossless, files = [], []
    for number in range(500):
        lossless.append(number % 2 == 0)
        files.append(tmp_path / names[test.labels[number]] / f"{number}.png")
        if not lossless[-1]:
            files[-1] = files[-1].with_suffix(".jpg")
        files[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(test.images[number]).save(files[-1])
    decoded = np.stack([load_image(file, 32, 32) for file in files])
    np.testing.assert_array_equal(decoded[lossless], test.images[:500][lossless])
    classifier = Classifier.load(find_tflite(Path(MODEL)))
    expected = predict_all(to_probabilities(classifier), decoded)

    assert run_command(["evaluate", MODEL, str(tmp_path), "--csv"]) == 0
    lines = {row["path"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    found = [[float(lines[str(file)][name]) for name in names] for file in files]
    np.testing.assert_array_equal(np.float32(found), expected)


def test_it_starts_at_once_without_tensorflow(make: Make) -> None:
    program = (
        "import sys; from mobilenet_tf.cli.main import run_command;"
        "code = run_command(sys.argv[1:]);"
        "heavy = {'tensorflow', 'tf_keras', 'keras', 'matplotlib'} & set(sys.modules);"
        "sys.exit(code or ', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "evaluate", MODEL, str(make("cat", "dog"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
