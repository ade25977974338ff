from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mobilenet_tf.cli.main import run_command
from mobilenet_tf.runs.names import edges_name
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.audit import audit
from mobilenet_tf.tflite.c_array import format_c_array
from mobilenet_tf.zoo.shelf import load_card, zoo_folder

NAME = "cifar10_v1_028_r32_b8"
CARD = load_card(NAME)
SHIPPED = zoo_folder() / NAME / CARD.tflite
UINT8 = zoo_folder() / NAME / CARD.tflite_uint8
Capture = pytest.CaptureFixture[str]


def convert(*arguments: object) -> int:
    return run_command(["convert", *map(str, arguments)])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_model_of_the_zoo_for_another_runtime(here: Path, capsys: Capture) -> None:
    assert convert(NAME, "--io-type", "uint8") == 0
    assert (here / UINT8.name).read_bytes() == UINT8.read_bytes()
    assert "MediaPipe" in capsys.readouterr().out
    assert convert(NAME, "--io-type", "float32", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["file"] == CARD.tflite.replace(".tflite", "_float32.tflite")
    assert said["size_bytes"] == (here / said["file"]).stat().st_size
    assert convert(UINT8, "--io-type", "int8", "--out", "back/model.tflite") == 0
    assert (here / "back" / "model.tflite").read_bytes() == SHIPPED.read_bytes()


def test_nothing_is_overwritten_unasked(here: Path, capsys: Capture) -> None:
    (here / "mine.tflite").write_text("mine")
    asked = (NAME, "--io-type", "uint8", "--out", "mine.tflite")
    assert convert(*asked) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (here / "mine.tflite").read_text() == "mine"
    assert convert(*asked, "--overwrite") == 0
    assert audit(here / "mine.tflite").metadata is not None


def test_what_cannot_be_converted_is_named(here: Path, capsys: Capture) -> None:
    assert convert(NAME) == 2
    assert "--io-type or --c-array" in capsys.readouterr().err
    assert convert("none.tflite", "--io-type", "uint8") == 2
    (here / "words.tflite").write_text("no model")
    assert convert("words.tflite", "--io-type", "uint8") == 1
    assert convert("words.tflite", "--c-array") == 1
    model = schema.parse(SHIPPED.read_bytes())
    for tensor in model.subgraphs[0].tensors:
        if not schema.is_constant(model, tensor):
            tensor.type = schema.tables.TensorType.FLOAT32
    (here / "real.tflite").write_bytes(schema.pack(model))
    capsys.readouterr()
    assert convert("real.tflite", "--io-type", "uint8") == 2
    assert "real.tflite computes in float32" in capsys.readouterr().err
    assert sorted(path.name for path in here.iterdir()) == ["real.tflite", "words.tflite"]


def test_a_c_array_is_the_file(here: Path) -> None:
    assert convert(NAME, "--c-array", "--io-type", "uint8", "--out", "a/2-model.h") == 0
    text = (here / "a" / "2-model.h").read_text()
    assert "alignas(16) static const unsigned char model_2_model[" in text
    listed = text[text.index("{") + 1 : text.index("}")].replace("\n", "").split(",")
    assert bytes(int(byte, 16) for byte in listed) == UINT8.read_bytes()
    assert convert(NAME, "--c-array") == 0
    assert (here / CARD.tflite).with_suffix(".h").is_file()


@pytest.mark.parametrize("language", ["c", "c++"])
def test_a_c_array_compiles(language: str, here: Path) -> None:
    compiler = shutil.which("cc" if language == "c" else "c++")
    if compiler is None:
        pytest.skip(f"there is no compiler for {language} here")
    content = bytes(range(256)) * 3
    (here / "model.h").write_text(format_c_array(content, "model"))
    source = here / "main.txt"
    source.write_text(
        '#include <stdint.h>\n#include <stdio.h>\n#include "model.h"\n#include "model.h"\n'
        "int main(void) { fwrite(model, 1, model_bytes, stdout);"
        " return (int)((uintptr_t)model % 16); }\n"
    )
    standard = "-std=c11" if language == "c" else "-std=c++11"
    subprocess.run(
        [compiler, "-x", language, standard, "-Wall", "-Werror", source, "-o", "main"], check=True
    )
    assert subprocess.run([here / "main"], capture_output=True, check=True).stdout == content


def test_names_follow_one_grammar() -> None:
    assert edges_name("v1_050_r32_int8_qat.tflite", "uint8") == "v1_050_r32_int8_qat_uint8.tflite"
    assert edges_name("v1_050_r32_int8_qat_uint8.tflite", "int8") == "v1_050_r32_int8_qat.tflite"
    assert edges_name("a_uint8.tflite", "float32") == "a_float32.tflite"


@pytest.mark.slow
def test_it_needs_no_tensorflow() -> None:
    program = (
        "import sys; from mobilenet_tf.cli.main import run_command;"
        f"code = run_command(['convert', {NAME!r}, '--io-type', 'uint8']);"
        "heavy = {'tensorflow', 'tf_keras', 'matplotlib'} & {*sys.modules};"
        "sys.exit(code or ', '.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
