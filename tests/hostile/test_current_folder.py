"""No command executes what lies in the current folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from mobilenet_tf.cli.main import mtf
from mobilenet_tf.system.child import python_command

TRAPS = ("psutil", "numpy", "tensorflow", "tf_keras", "rich", "msgspec", "ai_edge_litert", "json")
PACKAGES = ("mobilenet_tf", "mobilenet_tf/tflite", "mobilenet_tf/system")
ZOO_MODEL = "cifar10_v1_050_r32"


def walk(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command; a group that does something by itself, too."""
    if not isinstance(command, click.Group) or (words and command.invoke_without_command):
        yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from walk(command.get_command(context, name), (*words, name))


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """Return a folder full of modules that leave a mark when they are executed."""
    folder = tmp_path / "trapped"
    folder.mkdir()
    mark = f"open({str(folder / 'MARK')!r}, 'a').write(__file__ + '\\n')\n"
    for name in TRAPS:
        (folder / f"{name}.py").write_text(mark)
    for name in PACKAGES:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(mark)
    (folder / "mobilenet_tf" / "tflite" / "memory.py").write_text(mark)
    (folder / "sitecustomize.py").write_text(mark)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("words", walk(mtf), ids=" ".join)
def test_a_command_executes_nothing_of_the_current_folder(
    words: tuple[str, ...], trapped: Path, finished_run: Path, tiny_options: list[str]
) -> None:
    run = str(finished_run)
    image = trapped / "image.png"
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(image)
    again = [run, "--overwrite"]
    known = {
        "run": [*tiny_options, "--out", str(trapped / "runs" / "new")],
        "train": [*tiny_options, "--out", str(trapped / "runs" / "new")],
        "qat": again,
        "export-tflite": again,
        "audit": [ZOO_MODEL],
        "benchmark": again,
        "quant-debug": [run, "--images", "2", "--keep-float", "conv1"],
        "report": again,
        "compare": [run, run],
        "predict": [ZOO_MODEL, str(image)],
        "app": [ZOO_MODEL, "--for", "android"],
        "datasets prepare": ["digits"],
        "zoo show": [ZOO_MODEL],
        "zoo verify": [],
    }
    command = python_command(
        "sys.argv[0] = 'mtf'; from mobilenet_tf.cli.main import main; main()",
        *words,
        *known.get(" ".join(words), []),
    )
    done = subprocess.run(
        command, cwd=trapped, capture_output=True, text=True, timeout=600, check=False
    )
    assert not (trapped / "MARK").exists(), (trapped / "MARK").read_text()
    assert "Traceback" not in done.stderr
    assert " ".join(words) not in known or done.returncode == 0, done.stderr


def test_the_traps_work_where_python_searches_the_current_folder(trapped: Path) -> None:
    subprocess.run([sys.executable, "-c", "import psutil"], cwd=trapped, check=True)
    assert (trapped / "MARK").exists()
    shutil.rmtree(trapped)
