"""SIGTERM, full disks and limits: a sentence, and the run goes on where it stood."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mobilenet_tf.system.child import python_command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and limits"),
]
CODE = "import sys; sys.argv[0] = 'mtf'; from mobilenet_tf.cli.main import main; main()"


def mtf(
    *arguments: str, folder: Path, before: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        python_command(before + CODE, *arguments),
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_signal_says_how_to_go_on(tmp_path: Path, tiny_options: list[str]) -> None:
    line = ["run", *tiny_options, "--set", "train.epochs=500", "--out", "run"]
    with subprocess.Popen(
        python_command(CODE, *line),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 300
        while not list(tmp_path.glob("run/train.partial/checkpoint*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)  # SIGINT: see the story of `mtf train`
        _, told = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert "interrupted" in told
    assert "Go on with: mtf" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    "line", [("zoo", "verify"), ("models", "--all"), ("doctor",), ("predict", "none", "none")]
)
def test_a_verb_that_is_terminated_says_so(line: tuple[str, ...], tmp_path: Path) -> None:
    raised = "import os, threading; threading.Timer(0.15, os.kill, (os.getpid(), 15)).start(); "
    done = mtf(*line, folder=tmp_path, before=raised)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1, 2, 143, -15)  # it may have ended, or not begun


@pytest.mark.parametrize("limit_bytes", [1000, 8000])
def test_a_limit_on_the_size_of_files_is_a_sentence(limit_bytes: int, finished_run: Path) -> None:
    # Python itself would leave cut-off bytecode behind.
    before = (
        "import resource, sys; sys.dont_write_bytecode = True;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes},) * 2); "
    )
    done = mtf(
        "export-tflite", str(finished_run), "--overwrite", folder=finished_run, before=before
    )
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or done.stderr.count("error: ") == 1
    assert mtf("export-tflite", str(finished_run), folder=finished_run).returncode == 0


def test_a_temporary_folder_without_room_is_a_sentence(finished_run: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("cannot mount a small file system here")
    try:
        done = mtf(
            *("export-tflite", str(finished_run), "--overwrite"), folder=tmp_path, TMPDIR=str(small)
        )
    finally:
        subprocess.run(["/bin/umount", str(small)], check=True)
    assert done.returncode == 1
    assert "TMPDIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_temporary_folder_at_all_is_no_obstacle_to_help(tmp_path: Path) -> None:
    done = mtf("--help", folder=tmp_path, TMPDIR="/proc/none")
    assert done.returncode == 0


@pytest.mark.parametrize("line", [("zoo",), ("models", "--json"), ("--help",), ("doctor",)])
def test_a_full_device_as_output_is_an_error(line: tuple[str, ...], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            python_command(CODE, *line),
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
