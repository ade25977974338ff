from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from mobilenet_tf.errors import MtfError
from mobilenet_tf.zoo import folder
from mobilenet_tf.zoo.folder import lock_zoo, replaced_folder, restore_models
from mobilenet_tf.zoo.shelf import CARD_FILE


def names(zoo: Path) -> list[str]:
    return sorted(path.name for path in zoo.iterdir())


def test_a_model_stays_where_its_successor_cannot_be_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / CARD_FILE).write_text("old")

    def fail(path: Path, to: Path) -> Path:
        if path.name.endswith(".tmp"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return path.rename(to)

    monkeypatch.setattr(folder, "rename", fail)
    with pytest.raises(MtfError, match="No space left"), replaced_folder(target):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["model", CARD_FILE]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mobilenet_tf.zoo.folder import lock_zoo\n"
        "with lock_zoo(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "zoo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(MtfError, match="another mtf"), lock_zoo(tmp_path / "zoo", timeout_s=0):
            pass
        other.communicate()
    with lock_zoo(tmp_path / "zoo", timeout_s=0):
        pass


def test_what_a_killed_writer_left_is_repaired(tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    for name, content in ((".a.old", "a"), (".b.old", "old"), ("b", "b"), (".c.tmp", "half")):
        (zoo / name).mkdir(parents=True)
        (zoo / name / CARD_FILE).write_text(content)
    restore_models(zoo)
    assert names(zoo) == ["a", "b"]
    assert [(zoo / name / CARD_FILE).read_text() for name in "ab"] == ["a", "b"]


def test_nothing_is_repaired_under_a_writer_at_work(tmp_path: Path) -> None:
    (tmp_path / "zoo" / ".a.old").mkdir(parents=True)
    with lock_zoo(tmp_path / "zoo"):
        (tmp_path / "zoo" / ".b.old").mkdir()
        restore_models(tmp_path / "zoo")
        assert names(tmp_path / "zoo") == [".b.old", "a"]
