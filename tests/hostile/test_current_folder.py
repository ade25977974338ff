"""No command executes what lies in the current folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.hostile.conftest import VERBS

ZOO_MODEL = "cifar10_v1_025_r32"


@pytest.mark.slow
def test_a_whole_run_executes_nothing_of_the_current_folder(shared_run: Path) -> None:
    assert (shared_run.parent / "sitecustomize.py").is_file()
    assert not (shared_run.parent / "MARK").exists()


@pytest.mark.slow
@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_a_command_executes_nothing_of_the_current_folder(
    words: tuple[str, ...], trapped: Any, finished_run: Path, tiny_options: list[str]
) -> None:
    """The stages' work was done in such a folder when the shared run was made; see also sweeps."""
    run = str(finished_run)
    (trapped.folder / "images" / "cat").mkdir(parents=True)
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(trapped.folder / "image.png")
    shutil.copy(trapped.folder / "image.png", trapped.folder / "images" / "cat")
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
        "evaluate": [ZOO_MODEL, "images"],
        "convert": [ZOO_MODEL, "--io-type", "float32"],
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
