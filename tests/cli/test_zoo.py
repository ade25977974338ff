from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from mobilenet_tf.cli.main import run_command
from mobilenet_tf.zoo import shelf as zoo

Capture = pytest.CaptureFixture[str]
NAME = min(zoo.load_cards(), key=lambda card: card.int8_row.size_bytes).name  # so not beaten


def test_the_list_for_people_machines_and_the_readme(capsys: Capture) -> None:
    assert run_command(["zoo", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == zoo.model_names()
    row, card = rows[NAME], zoo.load_card(NAME)
    assert row["int8_top1"] == card.int8_row.top1
    assert Path(row["tflite"]).stat().st_size == row["int8_size_bytes"]
    assert Path(row["weights"]).is_file()
    assert run_command(["zoo"]) == 0
    text = capsys.readouterr().out
    assert f"{100 * row['int8_top1']:.2f}" in text
    assert str(zoo.zoo_folder()) in text
    assert run_command(["zoo", "--markdown"]) == 0
    assert f"| `{NAME}`" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json", "show", NAME], "--json belongs to the list of models; options of show"),
        (["--markdown", "verify"], "--markdown belongs to the list of models"),
        (["--json", "--markdown"], "--json and --markdown are two forms; give one"),
    ],
)
def test_options_of_the_list_are_not_ignored(
    arguments: list[str], said: str, capsys: Capture
) -> None:
    assert run_command(["zoo", *arguments]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_card_is_shown(capsys: Capture) -> None:
    assert run_command(["zoo", "show", NAME, "--markdown"]) == 0
    page = capsys.readouterr().out
    assert page == (zoo.zoo_folder() / NAME / zoo.PAGE_FILE).read_text("utf-8")
    assert run_command(["zoo", "show", NAME, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"]


def test_the_files_are_verified(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(zoo.zoo_folder() / NAME, tmp_path / NAME)
    monkeypatch.setattr(zoo, "zoo_folder", lambda: tmp_path)
    card = zoo.load_card(NAME)
    assert run_command(["zoo", "verify", "--json"]) == 0
    assert {row["file"] for row in json.loads(capsys.readouterr().out)} == set(card.files)
    (tmp_path / NAME / card.tflite).write_bytes(b"another")
    assert run_command(["zoo", "verify", NAME]) == 1
    said = capsys.readouterr().err
    assert card.files[card.tflite].sha256 in said
    assert "Traceback" not in said
    assert run_command(["predict", NAME, "cat.png"]) == 1
    assert "SHA-256" in capsys.readouterr().err


@pytest.mark.slow
def test_a_name_stands_for_its_file(capsys: Capture, tmp_path: Path) -> None:
    image = tmp_path / "blue.png"
    Image.new("RGB", (40, 40), "blue").save(image)
    assert run_command(["predict", NAME, str(image), "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert seen["images"][0]["classes"][0]["name"] in zoo.load_card(NAME).classes
    assert run_command(["audit", NAME]) == 0
    assert "in the expected format: int8_qat" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([NAME], f"type: mtf zoo show {NAME}"),
        (["shwo"], "did you mean 'show'"),
        (["show", "nothing"], "no model 'nothing' in the zoo"),
        (["verify", "nothing"], "no model 'nothing' in the zoo"),
        (["add", "nowhere"], "no run at nowhere"),
        (["add", ""], "it is empty; give a folder"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(words: list[str], said: str, capsys: Capture) -> None:
    assert run_command(["zoo", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_is_added(finished_run: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "zoo"
    words = ["zoo", "add", str(finished_run), "--name", "tiny", "--out", str(out)]
    assert run_command(words) == 0
    assert f"Card: {out / 'tiny' / 'card.md'}" in capsys.readouterr().out
    assert json.loads((out / "tiny" / "card.json").read_text("utf-8"))["name"] == "tiny"
    assert run_command(words) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err


def test_the_help_of_add_says_which_int8_file_ships(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["zoo", "add", "--help"]) == 0
    assert "The int8 file that its export chose" in " ".join(capsys.readouterr().out.split())
