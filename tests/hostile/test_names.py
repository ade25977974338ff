"""Text from outside neither steers the terminal nor forges a line, in whatever verb it comes up."""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilenet_tf.cli.main import run_command
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.metadata import replace_metadata
from tests.hostile.conftest import TAKING, give, seal

pytestmark = pytest.mark.slow

TAGS = "<script>x</script><img onerror=x>"
EVIL = f"a\x1b]0;owned\x07\x1b[31m\u202eb\r\nFORGED \x9b2J{TAGS}"
Show = Callable[..., str]


@pytest.fixture
def show(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Show:
    """Return a function that runs `mtf` and returns all that it prints, checked to be harmless."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        capsys.readouterr()
        run_command(list(arguments))
        told = capsys.readouterr()
        for text in (told.out, told.err):
            acting = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")}
            assert acting <= {"\n"}, (arguments, acting)
            assert not any(line.startswith("FORGED") for line in text.split("\n")), arguments
        return told.out + told.err

    return run


@pytest.fixture
def evil_model(shared_run: Path, tmp_path: Path) -> str:
    """Return the name of a model file that is evil in every text it has."""
    file = next((shared_run / "export").glob("*_int8_qat.tflite"))
    content = replace_metadata(
        file.read_bytes(),
        name=EVIL,
        description=EVIL,
        author=EVIL,
        license=EVIL,
        project_version=EVIL,
        classes=tuple(f"{number}{EVIL}" for number in range(10)),
    )
    model = schema.parse(content)
    for tensor in model.subgraphs[0].tensors:
        tensor.name = EVIL
    for signature in model.signatureDefs:
        signature.signatureKey = EVIL
        for entry in (*signature.inputs, *signature.outputs):
            entry.name = EVIL
    model.description = EVIL
    path = tmp_path / f"{EVIL.replace('/', '_')}.tflite"
    path.write_bytes(schema.pack(model))
    return path.name


@pytest.fixture
def evil_run(finished_run: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Return a finished run with evil in its name and in every text of its results."""
    text = request.param
    for file in finished_run.glob("*/result.json"):
        content = json.loads(file.read_text())
        content["machine"] |= {"processor": text, "features": text, "system": text}
        content |= {"command": text, "commit": text}
        content["versions"]["numpy"] = text
        if file.parent.name == "benchmark":
            content["metrics"]["classes"] = [f"{number}{text}" for number in range(10)]
            content["metrics"]["rows"][0]["artifact"] = text
        file.write_text(json.dumps(content))
    seal(finished_run)
    return Path(shutil.move(finished_run, tmp_path / text.replace("/", "_")))


@pytest.mark.parametrize("words", TAKING, ids=" ".join)
def test_what_does_not_exist_is_named_harmlessly(words: tuple[str, ...], show: Show) -> None:
    assert show(*give(words, EVIL.replace("/", "_")))


@pytest.mark.parametrize("words", TAKING, ids=" ".join)
def test_a_model_is_named_harmlessly(words: tuple[str, ...], evil_model: str, show: Show) -> None:
    assert show(*give(words, evil_model))


def test_what_a_model_says_of_itself_is_harmless(
    evil_model: str, show: Show, tmp_path: Path
) -> None:
    image = tmp_path / EVIL.replace("/", "_")
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(image, "PNG")
    for form in ((), ("--json",)):
        assert "FORGED" in show("audit", evil_model, *form)
        assert "FORGED" in show("predict", evil_model, image.name, *form)
    assert "FORGED" in show("audit", evil_model, "--quantization", "float16")


@pytest.mark.parametrize("evil_run", [EVIL, "a\u202e\u2028b" + TAGS], indirect=True)
def test_what_a_run_says_is_harmless(evil_run: Path, show: Show) -> None:
    name = evil_run.name
    for form in ((), ("--json",)):
        show("compare", name, *form)
    printed = show("compare", name, "--markdown")
    is_read = "left out" not in printed
    assert is_read == ("FORGED" not in name)  # results with control characters are refused
    assert not is_read or not {"<script", "<img"} & set(re.findall("<[a-z]+", printed))
    show("compare", name, "--html", "page.html")
    show("report", name, "--overwrite")
    for file in (*Path().glob("page.html"), *evil_run.glob("report/*.html")):
        assert "<script>x" not in file.read_text()
        assert "<img onerror" not in file.read_text()
    for file in evil_run.glob("report/*.md"):  # in code, markup is text
        text = re.sub(r"(`+).*?(?<!`)\1(?!`)", "", file.read_text(), flags=re.DOTALL)
        assert "<script>x" not in text
        assert "<img onerror" not in text
