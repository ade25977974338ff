"""One bad image or one bad name of many stops nothing; the bad are named at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilenet_tf.cli.main import run_command
from tests.hostile.conftest import VERBS, give

pytestmark = pytest.mark.slow
MODEL = "cifar10_v1_025_r32"


def save(path: Path) -> None:
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(path, "PNG")


def make_truncated(path: Path) -> None:
    save(path)
    path.write_bytes(path.read_bytes()[:60])


def make_bomb(path: Path) -> None:
    """Write the header of an image of 3.6 billion pixels."""
    save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    path.write_bytes(bytes(content))


BAD: dict[str, Callable[[Path], object]] = {
    "empty": Path.touch,
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 9),
    "truncated": make_truncated,
    "bomb": make_bomb,
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "dangling": lambda path: path.symlink_to("nowhere"),
    "loop": lambda path: path.symlink_to(path.name),
    "missing": lambda path: None,
    "device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_image_among_good_ones_is_named_at_the_end(
    kind: str, refused: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "z.png"):
        save(tmp_path / name)
    BAD[kind](tmp_path / "m.png")
    assert run_command(["predict", MODEL, "a.png", "m.png", "z.png"]) == 1
    told = capsys.readouterr()
    assert told.out.index("a.png") < told.out.index("z.png")
    assert "m.png" in told.err


def test_names_of_any_bytes_and_length(
    refused: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = [os.fsdecode(b"\xff\xfe.png"), "a\nb.png", "-x.png", "\u202e.png", "n" * 250 + ".png"]
    for name in odd:
        save(tmp_path / name)
    save(tmp_path / "good.png")
    assert run_command(["predict", MODEL, ".", "n" * 300 + ".png", "good.png"]) == 1
    told = capsys.readouterr()
    assert told.out.count(" %  ") == 3 * (len(odd) + 2)
    assert told.err.count("\nerror: ") + told.err.startswith("error: ") == 2
    for form in ("--csv", "--json"):
        assert run_command(["predict", MODEL, ".", form]) == 0


def test_a_run_in_a_folder_of_any_name(
    finished_run: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    run = tmp_path / os.fsdecode(b"r\xff\xfen")
    shutil.move(finished_run, run)
    for line in (
        ("compare", str(run)),
        ("compare", str(run), "--json"),
        ("compare", str(run), "--html", "page.html"),
        ("report", str(run), "--overwrite"),
        ("audit", str(run)),
        ("quant-debug", str(run), "--images", "2"),
    ):
        refused(*line, codes=(0,))


@pytest.mark.parametrize("words", [words for words in VERBS if words != ("try",)])
def test_a_home_of_nobody_is_no_traceback(
    words: tuple[str, ...], refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", "~nosuchuser/data")
    refused(*give(words, "none"), codes=(0, 1, 2))
