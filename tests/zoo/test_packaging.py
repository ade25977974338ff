from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.files import hash_file
from mobilenet_tf.models.weights import read_weights
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.zoo import shelf as zoo
from mobilenet_tf.zoo.packaging import keep_start, package_run, replaced_folder, without_machine
from mobilenet_tf.zoo.page import format_page
from mobilenet_tf.zoo.shelf import CARD_FILE

NAME = "synthetic_v1_005_r32"


def package(run: Path, out: Path, **changes: Any) -> zoo.Card:
    settings = {"name": None, "data_dir": None, "overwrite": False, "progress": False} | changes
    return package_run(RunFolder(run), out, echo=lambda message: None, **settings)


def test_a_finished_run_becomes_a_model(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "zoo"
    card = package(finished_run, out)
    folder = out / NAME
    monkeypatch.setattr(zoo, "zoo_folder", lambda: out)
    assert zoo.load_card(NAME) == card
    assert [path.name for path in out.iterdir()] == [NAME]
    assert (folder / zoo.PAGE_FILE).read_text("utf-8") == format_page(card)

    exported = finished_run / "export" / card.tflite
    assert zoo.check_file(card, card.tflite).read_bytes() == exported.read_bytes()
    rounded, _ = read_weights(zoo.check_file(card, card.weights))
    trained, _ = read_weights(finished_run / "train" / "v1_005_r32_float32.safetensors")
    assert rounded.keys() == trained.keys()
    for name, tensor in rounded.items():
        np.testing.assert_array_equal(tensor, trained[name].astype(np.float16))

    made = RunFolder(finished_run).load_recipe()
    assert load_recipe(str(zoo.check_file(card, zoo.RECIPE_FILE))) == made
    rows = json.loads((finished_run / "benchmark" / "result.json").read_text())["metrics"]["rows"]
    assert card.measured("tflite", "int8_qat")["per_class"] == rows[-1]["per_class"]
    assert (card.check.test_count, card.check.top1) == (128, rows[-1]["top1"])  # all there are
    assert abs(card.weights_top1 - rows[0]["top1"]) < 0.05
    train = json.loads((finished_run / "train" / "result.json").read_text())
    assert card.stages["train"]["commit"] == train["commit"]
    assert card.stages["train"]["machine"] == train["machine"]
    text = (folder / zoo.CARD_FILE).read_text("utf-8")
    assert str(finished_run.parent) not in text
    assert "--out" in card.stages["train"]["command"]

    with pytest.raises(UsageError, match="is there already; --overwrite replaces it"):
        package(finished_run, out)
    (folder / "left.txt").write_text("of the old one")
    assert package(finished_run, out, overwrite=True) == card
    assert not (folder / "left.txt").exists()
    assert [path.name for path in out.iterdir()] == [NAME]


def test_the_weights_file_that_a_run_started_from_ships_with_it(
    finished_run: Path, tmp_path: Path
) -> None:
    run, file = RunFolder(finished_run), tmp_path / "mine.safetensors"
    shutil.copy(finished_run / "train" / "v1_005_r32_float32.safetensors", file)
    recipe = run.load_recipe()
    begun = msgspec.structs.replace(recipe.train, weights=str(file))
    recipe = msgspec.structs.replace(recipe, train=begun)
    train = run.load_stage("train")
    train = msgspec.structs.replace(train, inputs={"weights": hash_file(file)})

    assert keep_start(recipe, train, tmp_path)
    assert (tmp_path / zoo.START_FILE).read_bytes() == file.read_bytes()
    (tmp_path / zoo.START_FILE).unlink()
    file.write_bytes(file.read_bytes() + b"!")
    assert not keep_start(recipe, train, tmp_path)
    file.unlink()
    assert not keep_start(recipe, train, tmp_path)
    assert not keep_start(run.load_recipe(), run.load_stage("train"), tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


def test_what_is_not_finished_is_refused(finished_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "zoo"
    with pytest.raises(UsageError, match="no run at"):
        package(tmp_path / "nowhere", out)
    with pytest.raises(UsageError, match="--name 'A/b' cannot be"):
        package(finished_run, out, name="A/b")

    benchmark = shutil.move(finished_run / "benchmark", tmp_path / "benchmark")
    with pytest.raises(UsageError, match=r"benchmark .* not ready .*\(not done yet\).*mtf benchma"):
        package(finished_run, out)
    shutil.move(benchmark, finished_run / "benchmark")

    result = finished_run / "qat" / "result.json"
    content = result.read_text()
    result.write_text(content.replace('"wall_time_s": ', '"wall_time_s": 1'))
    with pytest.raises(UsageError, match=r"export .* not ready .*\(qat was made again\)"):
        package(finished_run, out)
    result.write_text(content)

    file = finished_run / "export" / "v1_005_r32_int8_qat.tflite"
    file.write_bytes(file.read_bytes() + b"!")
    with pytest.raises(MtfError, match="is damaged"):
        package(finished_run, out)
    assert not out.exists()


def test_a_second_model_of_the_same_network_is_refused(finished_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "zoo"
    package(finished_run, out, name="first")
    with pytest.raises(UsageError, match=r"trained on synthetic already, as first; --name first"):
        package(finished_run, out)
    assert [path.name for path in out.iterdir()] == ["first"]
    card = out / "first" / CARD_FILE
    card.write_text("{")
    with pytest.raises(MtfError, match=r"card\.json is damaged"):
        package(finished_run, out)
    assert package(finished_run, out, name="first", overwrite=True).name == "first"


def test_a_run_without_qat_is_refused(finished_run: Path, tmp_path: Path) -> None:
    run = RunFolder(finished_run)
    recipe = run.load_recipe()
    without = msgspec.structs.replace(recipe.qat, epochs=0)
    run.save_recipe(msgspec.structs.replace(recipe, qat=without))
    with pytest.raises(UsageError, match=r"leaves quantization-aware training out"):
        package(finished_run, tmp_path / "zoo")


def test_a_failure_leaves_no_trace_and_the_old_model(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "zoo"
    (out / NAME).mkdir(parents=True)
    (out / NAME / CARD_FILE).write_text("old")
    monkeypatch.setattr("mobilenet_tf.zoo.packaging.score_on_test", None)
    with pytest.raises(TypeError):
        package(finished_run, out, overwrite=True)
    assert [path.name for path in out.rglob("*")] == [NAME, CARD_FILE]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_is_not_taken_for_a_model(
    overwrite: bool, finished_run: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(finished_run, tmp_path / NAME))
    with pytest.raises(UsageError, match=r"is no model of a zoo; give another --name"):
        package(finished_run, tmp_path, overwrite=overwrite)
    assert (other / "train" / "result.json").is_file()


def test_a_model_stays_where_its_successor_cannot_be_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, rename = tmp_path / "model", Path.rename
    target.mkdir()
    (target / CARD_FILE).write_text("old")

    def fail(path: Path, to: Path) -> Path:
        if path.name == "new":
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(MtfError, match="No space left"), replaced_folder(target):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["model", CARD_FILE]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("mtf run cifar10", "mtf run cifar10"),
        ("mtf run a --out /data/x/artifacts/a -q", "mtf run a --out artifacts/a -q"),
        ("mtf run /home/me/my.toml --data-dir=~/tfds", "mtf run my.toml --data-dir=tfds"),
        (r"mtf run C:\Users\me\artifacts\b", "mtf run artifacts/b"),
        ("--set train.teacher='/x/run'", "--set train.teacher='run'"),
        ("artifacts/zoo/a/recipe.toml ./b ../c", "artifacts/zoo/a/recipe.toml ./b ../c"),
        ("https://arxiv.org/abs/1704.04861", "https://arxiv.org/abs/1704.04861"),
        ("1 / 2, 32x32/64, AVX-512", "1 / 2, 32x32/64, AVX-512"),
    ],
)
def test_texts_name_no_folder_of_the_machine(text: str, kept: str) -> None:
    assert without_machine({"a": [text, 1, None]}) == {"a": [kept, 1, None]}
