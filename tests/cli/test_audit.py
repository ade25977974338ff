from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mobilenet_tf.cli.main import run_command
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.metadata import embed_metadata, read_metadata

pytestmark = pytest.mark.slow  # converts models
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="session")
def files(
    tmp_path_factory: pytest.TempPathFactory, export_all: Callable[..., dict[str, Path]]
) -> dict[str, Path]:
    from mobilenet_tf.keras import keras

    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            keras.layers.Conv2D(8, 3, activation="relu6"),
            keras.layers.DepthwiseConv2D(3),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ]
    )
    calibration = np.random.RandomState(0).randint(0, 256, (8, 8, 8, 3)).astype(np.uint8)
    return export_all(model, ("ant", "bee", "cat"), calibration, tmp_path_factory.mktemp("files"))


@pytest.fixture
def foreign(files: dict[str, Path], tmp_path: Path) -> Path:
    """The int8 file as if another project had written it."""
    model = schema.parse(files["int8"].read_bytes())
    model.metadata = []
    path = tmp_path / "foreign.tflite"
    path.write_bytes(schema.pack(model))
    return path


@pytest.mark.parametrize("name", ["float32", "logits", "int8", "uint8"])
def test_our_own_files_have_the_expected_format(
    capsys: Capture, files: dict[str, Path], name: str
) -> None:
    assert run_command(["audit", str(files[name]), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kept"] is True
    assert found["contract"]["logits"] is (name == "logits")
    assert sum(found["sizes_bytes"].values()) == found["file_bytes"] == files[name].stat().st_size
    assert found["ops"]["CONV_2D"] == 1
    assert found["ops"]["DEPTHWISE_CONV_2D"] == 1
    assert found["classes"] == ["ant", "bee", "cat"]


def test_people_read_what_is_inside(capsys: Capture, files: dict[str, Path]) -> None:
    assert run_command(["audit", str(files["int8"])]) == 0
    text = capsys.readouterr().out
    for part in (
        "3 classes: ant, bee, cat",
        "1/128, zero point 0",
        "1/256, zero point -128",
        "signature serving_default: image -> probabilities",
        "DEPTHWISE_CONV_2D",
        "weights",
        "in the expected format: int8_ptq, int8 in and out, probabilities",
    ):
        assert part in text
    assert max(map(len, text.splitlines()[1:])) <= 80


@pytest.mark.parametrize(
    ("name", "options", "violation"),
    [
        ("float32", ["--quantization", "int8_ptq"], "has the float32 tensor"),
        ("int8", ["--io-type", "uint8"], "the input is int8 instead of uint8"),
        ("int8", ["--logits"], "SOFTMAX ends the graph where logits were asked for"),
        ("logits", ["--probabilities"], "no signature serving_default"),
        ("int8", ["--quantization", "float32"], "int8 kernel"),
    ],
)
def test_a_file_of_another_format_is_told_and_fails(
    capsys: Capture, files: dict[str, Path], name: str, options: list[str], violation: str
) -> None:
    assert run_command(["audit", str(files[name]), *options]) == 1
    captured = capsys.readouterr()
    assert "differs from the expected format in" in captured.out
    assert violation in captured.out
    assert captured.err.startswith(f"error: {files[name]} ")
    assert run_command(["audit", str(files[name]), *options, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["kept"] is False
    assert any(violation in each for each in found["violations"])


def test_a_file_that_names_no_format_is_shown_and_not_judged(
    capsys: Capture, foreign: Path
) -> None:
    assert run_command(["audit", str(foreign)]) == 0
    assert "format not checked" in capsys.readouterr().out
    assert run_command(["audit", str(foreign), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] is None
    assert run_command(["audit", str(foreign), "--logits"]) == 2
    assert "give --quantization too" in capsys.readouterr().err
    assert run_command(["audit", str(foreign), "--quantization", "int8_ptq"]) == 1
    assert "in 1 way: int8_ptq" in capsys.readouterr().out  # the metadata


def test_a_format_of_a_later_version_is_not_guessed(
    capsys: Capture, files: dict[str, Path], tmp_path: Path
) -> None:
    import msgspec

    metadata = read_metadata(files["int8"])
    assert metadata is not None
    later = msgspec.structs.replace(metadata, quantization="int4", project_version="9.0")
    path = tmp_path / "later.tflite"
    path.write_bytes(embed_metadata(files["int8"].read_bytes(), later))
    assert run_command(["audit", str(path)]) == 1
    assert "calls itself 'int4' (written by mobilenet-tf 9.0)" in capsys.readouterr().err
    assert run_command(["audit", str(path), "--quantization", "int8_ptq"]) == 0


def test_wrong_turns(capsys: Capture, files: dict[str, Path], tmp_path: Path) -> None:
    words = tmp_path / "words.tflite"
    words.write_text("not a model")
    for arguments, code, message in (
        ([words], 1, f"{words} is not a .tflite file"),
        ([tmp_path], 2, "is a folder"),
        ([tmp_path / "gone"], 2, "does not exist"),
        ([files["int8"], "--quantization", "int8"], 2, "int8_ptq"),
        ([files["int8"], "--quantization", "float16", "--io-type", "int8"], 2, "for int8 files"),
    ):
        assert run_command(["audit", *map(str, arguments)]) == code
        captured = capsys.readouterr()
        assert message in captured.err
        assert captured.out == ""


def test_it_does_not_load_tensorflow(files: dict[str, Path]) -> None:
    program = (
        "import sys; from mobilenet_tf.cli.main import run_command;"
        "code = run_command(sys.argv[1:]);"
        "heavy = {'tensorflow', 'tf_keras', 'keras'} & set(sys.modules);"
        "sys.exit(code or ', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "audit", str(files["int8"])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
