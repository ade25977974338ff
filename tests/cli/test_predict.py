from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilenet_tf.cli.main import run_command
from mobilenet_tf.tflite import schema

pytestmark = pytest.mark.slow  # converts models
Capture = pytest.CaptureFixture[str]
COLOURS = ("red", "lime", "blue")


@pytest.fixture(scope="session")
def colour_models(
    tmp_path_factory: pytest.TempPathFactory, export_all: Callable[..., dict[str, Path]]
) -> dict[str, Path]:
    """Files that name the colour of a 16 high, 24 wide image: eight times its mean, softmax."""
    from mobilenet_tf.keras import keras

    model = keras.Sequential(
        [
            keras.Input((16, 24, 3), name="image"),
            keras.layers.Conv2D(3, 1, name="colour"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    model.get_layer("colour").set_weights([8 * np.eye(3).reshape(1, 1, 3, 3), np.zeros(3)])
    noise = np.random.RandomState(0).randint(0, 256, (8, 16, 24, 3)).astype(np.uint8)
    colours = np.repeat(np.uint8([[[[255, 0, 0]]], [[[0, 255, 0]]], [[[0, 0, 255]]]]), 16, axis=1)
    calibration = np.concatenate([noise, np.repeat(colours, 24, axis=2)])
    return export_all(model, COLOURS, calibration, tmp_path_factory.mktemp("models"))


@pytest.fixture
def image(tmp_path: Path) -> Callable[[str], Path]:
    def make(colour: str) -> Path:
        path = tmp_path / f"{colour}.png"
        Image.new("RGB", (70, 50), colour).save(path)
        return path

    return make


def predict(capsys: Capture, *arguments: object) -> dict:
    assert run_command(["predict", "--json", *map(str, arguments)]) == 0
    answer: dict = json.loads(capsys.readouterr().out)
    return answer


@pytest.mark.parametrize("kind", ["float32", "logits", "int8", "uint8"])
def test_every_kind_of_file_names_the_colours(
    capsys: Capture, colour_models: dict[str, Path], image: Callable[[str], Path], kind: str
) -> None:
    paths = [image(colour) for colour in COLOURS]
    answer = predict(capsys, colour_models[kind], *paths, "--top", 3, "--threads", 2)
    assert [entry["image"] for entry in answer["images"]] == [str(path) for path in paths]
    for index, entry in enumerate(answer["images"]):
        best, *others = entry["classes"]
        assert (best["name"], best["index"]) == (COLOURS[index], index)
        # logits are 8 * 127/128, and twice -8
        assert best["probability"] == pytest.approx(1.0, abs=0.005)
        assert sum(each["probability"] for each in entry["classes"]) == pytest.approx(1, abs=0.02)
        assert [each["index"] for each in others] == sorted(set(range(3)) - {index})


def test_logits_become_the_probabilities_of_the_other_file(
    capsys: Capture, colour_models: dict[str, Path], image: Callable[[str], Path]
) -> None:
    path = image("#908070")
    scores = [
        [each["probability"] for each in answer["images"][0]["classes"]]
        for kind in ("float32", "logits")
        for answer in [predict(capsys, colour_models[kind], path)]
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)
    assert 0.4 < scores[0][0] < 0.8


def test_more_images_than_are_held_at_a_time_keep_their_order(
    capsys: Capture, colour_models: dict[str, Path], image: Callable[[str], Path]
) -> None:
    paths = [image(COLOURS[index % 3]) for index in range(70)]
    answer = predict(capsys, colour_models["int8"], *paths, "--top", 1)
    assert [entry["classes"][0]["name"] for entry in answer["images"]] == [
        COLOURS[index % 3] for index in range(70)
    ]


def test_people_read_percentages(
    capsys: Capture, colour_models: dict[str, Path], image: Callable[[str], Path]
) -> None:
    path = image("red")
    assert run_command(["predict", str(colour_models["float32"]), str(path), "--top", "1"]) == 0
    assert capsys.readouterr().out == f"{path}\n  100.0 %  red\n"


def test_good_images_are_answered_beside_bad_ones(
    capsys: Capture,
    colour_models: dict[str, Path],
    image: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("no image")
    asked = [colour_models["int8"], image("red"), words, image("blue"), tmp_path / "gone.png"]
    assert run_command(["predict", *map(str, asked)]) == 1
    captured = capsys.readouterr()
    assert "red.png" in captured.out
    assert "blue.png" in captured.out
    for path in (words, tmp_path / "gone.png"):
        assert f"error: {path}" in captured.err
    assert run_command(["predict", "--json", *map(str, asked)]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (len(answer["images"]), len(answer["errors"])) == (2, 2)


def test_no_name_stops_the_others(
    capsys: Capture,
    colour_models: dict[str, Path],
    image: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    odd, empty = tmp_path / os.fsdecode(b"\xff\x1b[31m.png"), tmp_path / "empty"
    odd.write_bytes(image("red").read_bytes())
    empty.mkdir()
    asked = [tmp_path / ("x" * 300), empty, odd]
    assert run_command(["predict", str(colour_models["int8"]), *map(str, asked)]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == f"{tmp_path}/\\udcff\\x1b[31m.png"
    assert "red" in captured.out.splitlines()[1]
    assert captured.err.count("error: ") == 3, "two images, and how many there were"


def test_a_folder_is_all_the_images_in_it(
    capsys: Capture, colour_models: dict[str, Path], tmp_path: Path
) -> None:
    for name in ("2/red.png", "10/lime.png", "10/.hidden.png", "blue.png", "words.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (30, 20), path.stem if path.stem in COLOURS else "red").save(path, "PNG")
    answer = predict(capsys, colour_models["int8"], tmp_path, "--top", 1)
    assert [entry["classes"][0]["name"] for entry in answer["images"]] == ["blue", "red", "lime"]


def test_paths_come_from_standard_input_and_go_into_csv(
    capsys: Capture,
    colour_models: dict[str, Path],
    image: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = [image(colour) for colour in COLOURS]
    listed = "\r\n".join([*map(str, paths), "", "gone"]).encode()
    for top, columns in (([], COLOURS), (["--top", "2"], ("prediction 2", "confidence 2"))):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(listed)))
        assert run_command(["predict", str(colour_models["int8"]), "-", "--csv", *top]) == 1
        captured = capsys.readouterr()
        rows = list(csv.DictReader(io.StringIO(captured.out)))
        assert [row["path"] for row in rows] == [str(path) for path in paths]
        assert [row["prediction"] for row in rows] == [*COLOURS]
        assert set(rows[0]) == {"path", "prediction", "confidence", "unsure", *columns}
        assert "error: gone" in captured.err


def test_a_cut_off_image_is_a_failure(
    capsys: Capture, colour_models: dict[str, Path], image: Callable[[str], Path]
) -> None:
    path = image("red")
    path.write_bytes(path.read_bytes()[:-60])
    assert run_command(["predict", str(colour_models["int8"]), str(path)]) == 1
    assert f"{path} is a damaged or cut-off image" in capsys.readouterr().err


@pytest.mark.parametrize("turn", ["image", "text", "cut", "missing", "folder"])
def test_a_model_that_is_none_is_named(
    capsys: Capture,
    colour_models: dict[str, Path],
    image: Callable[[str], Path],
    tmp_path: Path,
    turn: str,
) -> None:
    path = image("red")
    model = {"image": path, "folder": tmp_path}.get(turn, tmp_path / "model.tflite")
    if turn == "text":
        model.write_text("not a model")
    if turn == "cut":
        content = colour_models["int8"].read_bytes()
        model.write_bytes(content[: len(content) // 2])
    code = run_command(["predict", str(model), str(path)])
    assert code == (2 if turn in ("missing", "folder") else 1)
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {model} ")
    assert ".tflite" in captured.err
    assert captured.out == ""


def test_a_file_from_elsewhere_gets_numbers_and_a_warning(
    capsys: Capture,
    colour_models: dict[str, Path],
    image: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    path = image("lime")
    for kind in ("float32", "logits", "uint8"):
        model = schema.parse(colour_models[kind].read_bytes())
        model.metadata = []
        foreign = tmp_path / f"{kind}.tflite"
        foreign.write_bytes(schema.pack(model))
        assert run_command(["predict", str(foreign), str(path), "--json", "--top", "1"]) == 0
        captured = capsys.readouterr()
        (best,) = json.loads(captured.out)["images"][0]["classes"]
        assert best["name"] == "1"
        assert best["probability"] == pytest.approx(1.0, abs=0.005)
        assert f"warning: {foreign} does not say its classes" in captured.err


@pytest.mark.parametrize("arguments", [["--top", "0"], ["--threads", "0"], []])
def test_bad_requests_end_with_usage(
    capsys: Capture, colour_models: dict[str, Path], arguments: list[str]
) -> None:
    assert run_command(["predict", str(colour_models["int8"]), *arguments]) == 2
    assert "mtf predict" in capsys.readouterr().err


def test_it_starts_at_once_without_tensorflow(
    colour_models: dict[str, Path], image: Callable[[str], Path]
) -> None:
    program = (
        "import sys; from mobilenet_tf.cli.main import run_command;"
        "code = run_command(sys.argv[1:]);"
        "heavy = {'tensorflow', 'tf_keras', 'keras', 'matplotlib'} & set(sys.modules);"
        "sys.exit(code or ', '.join(sorted(heavy)) or 0)"
    )
    arguments = ["predict", str(colour_models["int8"]), str(image("red"))]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
