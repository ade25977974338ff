"""Links, devices, modes: what is written stays where it was asked for, as a careful editor does."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mobilenet_tf.errors import MtfError
from mobilenet_tf.files import write_text
from mobilenet_tf.runs.folder import RunFolder

pytestmark = pytest.mark.slow

INSIDE = ("recipe.json", "previous", "report.partial", "train.partial", "quant-debug", ".lock")


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
@pytest.mark.parametrize("before", [None, 0o600, 0o640, 0o664, 0o444])
def test_modes_follow_the_old_file_or_the_umask(
    umask: int, before: int | None, tmp_path: Path
) -> None:
    file, held = tmp_path / "a.txt", os.umask(umask)
    try:
        if before is not None:
            file.touch()
            file.chmod(before)
        write_text(file, "new")
    finally:
        os.umask(held)
    mode = 0o666 & ~umask if before is None else before
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert file.read_text() == "new"


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link, loop = tmp_path / "there" / "a", tmp_path / "link", tmp_path / "loop"
    for content in ("first", "second"):  # the target is missing, then there
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        write_text(link, content)
        assert link.is_symlink()
        assert target.read_text() == content
    loop.symlink_to(loop)
    with pytest.raises(MtfError, match="cannot write"):
        write_text(loop, "x")


def test_devices_and_pipes_are_written_to_and_stay(tmp_path: Path) -> None:
    write_text(Path("/dev/null"), "x")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(MtfError, match="cannot write"):
        write_text(Path("/dev/full"), "x")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(MtfError, match="cannot write"):
        write_text(pipe, "x")  # nobody reads it: an error at once
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    while not read:
        try:
            write_text(pipe, "x" * 200_000)
            break
        except MtfError:
            continue  # the reader is not there yet
    reader.join(10)
    assert read == ["x" * 200_000]
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("verb", ["report", "run", "quant-debug", "train"])
def test_no_link_in_a_run_leads_a_write_outside(
    name: str, verb: str, finished_run: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    place = finished_run / name
    if place.exists():
        shutil.move(place, outside)
    else:
        outside.mkdir()
    place.symlink_to(outside)
    before = {path: path.stat().st_mtime_ns for path in (outside, *outside.rglob("*"))}
    content = outside.read_bytes() if outside.is_file() else b""
    recipe = finished_run / "recipe.json"
    lines = {
        "report": ("report", str(finished_run), "--overwrite"),
        "run": ("run", str(recipe), "--out", str(finished_run), "--overwrite"),
        "quant-debug": ("quant-debug", str(finished_run), "--images", "2"),
        "train": ("train", "--out", str(finished_run), "--overwrite"),
    }
    refused(*lines[verb])
    assert {path: path.stat().st_mtime_ns for path in (outside, *outside.rglob("*"))} == before
    assert not outside.is_file() or outside.read_bytes() == content


def test_a_page_goes_to_a_device_or_through_a_link(
    finished_run: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    refused("compare", str(finished_run), "--html", "/dev/null", codes=(0,))
    assert Path("/dev/null").is_char_device()
    (tmp_path / "link.html").symlink_to(tmp_path / "page.html")
    refused("compare", str(finished_run), "--html", "link.html", codes=(0,))
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "page.html").stat().st_size > 1000


def test_a_users_own_hidden_files_stay(finished_run: Path) -> None:
    mine = finished_run / ".notes.tmp"
    mine.write_text("mine")
    with RunFolder(finished_run).lock(RunFolder(finished_run).load_recipe()):
        pass
    assert mine.read_text() == "mine"
