"""No command executes what lies in the current folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from mobilenet_tf.cli.main import mtf

ZOO_MODEL = "cifar10_v1_025_r32"


def walk(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command; a group that does something by itself, too."""
    if not isinstance(command, click.Group) or (words and command.invoke_without_command):
        yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from walk(command.get_command(context, name), (*words, name))


@pytest.mark.slow
def test_a_whole_run_executes_nothing_of_the_current_folder(shared_run: Path) -> None:
    assert (shared_run.parent / "sitecustomize.py").is_file()
    assert not (shared_run.parent / "MARK").exists()


@pytest.mark.slow
@pytest.mark.parametrize("words", walk(mtf), ids=" ".join)
def test_a_command_executes_nothing_of_the_current_folder(
    words: tuple[str, ...], trapped: Any, finished_run: Path, tiny_options: list[str]
) -> None:
    """The work of the stages was done in such a folder when the shared run was made."""
    run = str(finished_run)
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(trapped.folder / "image.png")
    known = {
        "run": [*tiny_options, "--out", run],
        "train": ["--out", run, "--resume"],
        "qat": [run],
        "export-tflite": [run],
        "audit": [ZOO_MODEL],
        "benchmark": [run],
        "quant-debug": [run, "--images", "2", "--keep-float", "conv1"],
        "report": [run, "--overwrite"],
        "compare": [run, run],
        "predict": [ZOO_MODEL, "image.png"],
        "app": [ZOO_MODEL, "--for", "android"],
        "datasets prepare": ["digits"],
        "zoo show": [ZOO_MODEL],
        "zoo verify": [],
    }
    done = trapped.mtf(*words, *known.get(" ".join(words), []))
    assert trapped.executed() == ""
    assert "Traceback" not in done.stderr
    assert " ".join(words) not in known or done.returncode == 0, done.stderr


def test_the_traps_work_where_python_searches_the_current_folder(trapped: Any) -> None:
    subprocess.run([sys.executable, "-c", "import psutil"], cwd=trapped.folder, check=True)
    assert "psutil.py" in trapped.executed()
