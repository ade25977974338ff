from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.files import hash_file
from mobilenet_tf.models.weights import read_weights
from mobilenet_tf.pipeline.shipping import find_int8_file, find_start_file, ship_run
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.zoo import shelf as zoo
from mobilenet_tf.zoo.page import format_page
from mobilenet_tf.zoo.shelf import CARD_FILE

NAME = "synthetic_v1_005_r32_b2"
pytestmark = pytest.mark.slow


def ship(run: Path, out: Path, **changes: Any) -> zoo.Card:
    return ship_run(RunFolder(run), out, **changes)


def test_a_finished_run_becomes_a_model(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "zoo"
    card = ship(finished_run, out)
    folder = out / NAME
    monkeypatch.setattr(zoo, "zoo_folder", lambda: out)
    assert zoo.load_card(NAME) == card
    assert [path.name for path in out.iterdir()] == [NAME]
    assert (folder / zoo.PAGE_FILE).read_text("utf-8") == format_page(card)

    for file in (card.tflite, card.tflite_uint8):
        exported = finished_run / "export" / file
        assert zoo.check_file(card, file).read_bytes() == exported.read_bytes()
    rounded, _ = read_weights(zoo.check_file(card, card.weights))
    trained, _ = read_weights(finished_run / "train" / "v1_005_r32_b2_float32.safetensors")
    assert rounded.keys() == trained.keys()
    for name, tensor in rounded.items():
        np.testing.assert_array_equal(tensor, trained[name].astype(np.float16))

    made = RunFolder(finished_run).load_recipe()
    assert load_recipe(str(zoo.check_file(card, zoo.RECIPE_FILE))) == made
    rows = RunFolder(finished_run).load_stage("benchmark").metrics.rows
    assert card.int8_row.per_class == rows[-1].per_class
    assert (card.check.test_count, card.check.top1) == (128, rows[-1].top1)  # all there are
    assert abs(card.weights_top1 - rows[0].top1) < 0.05
    train = RunFolder(finished_run).load_stage("train")
    assert card.stages.train.commit == train.commit
    assert card.stages.train.machine == train.machine
    text = (folder / zoo.CARD_FILE).read_text("utf-8")
    assert str(finished_run.parent) not in text
    assert "--out" in card.stages.train.command

    with pytest.raises(UsageError, match="--overwrite"):
        ship(finished_run, out)
    (folder / "left.txt").write_text("of the old one")
    assert ship(finished_run, out, overwrite=True) == card
    assert not (folder / "left.txt").exists()
    assert [path.name for path in out.iterdir()] == [NAME]


def test_the_weights_file_that_a_run_started_from_ships_with_it(
    finished_run: Path, tmp_path: Path
) -> None:
    run, file = RunFolder(finished_run), tmp_path / "mine.safetensors"
    shutil.copy(finished_run / "train" / "v1_005_r32_b2_float32.safetensors", file)
    recipe = run.load_recipe()
    begun = msgspec.structs.replace(recipe.train, weights=str(file))
    recipe = msgspec.structs.replace(recipe, train=begun)
    train = run.load_stage("train")
    train = msgspec.structs.replace(train, inputs={"weights": hash_file(file)})

    assert find_start_file(recipe, train) == file
    of_run = msgspec.structs.replace(begun, weights=str(finished_run))  # a run's weights likewise
    found = find_start_file(msgspec.structs.replace(recipe, train=of_run), train)
    assert found == finished_run / "train" / "v1_005_r32_b2_float32.safetensors"
    file.write_bytes(file.read_bytes() + b"!")
    assert find_start_file(recipe, train) is None
    file.unlink()
    assert find_start_file(recipe, train) is None
    assert find_start_file(run.load_recipe(), run.load_stage("train")) is None


def test_what_is_not_finished_is_refused(finished_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "zoo"
    with pytest.raises(UsageError, match="no run at"):
        ship(tmp_path / "nowhere", out)
    with pytest.raises(UsageError, match="--name 'A/b'"):
        ship(finished_run, out, name="A/b")

    benchmark = shutil.move(finished_run / "benchmark", tmp_path / "benchmark")
    with pytest.raises(UsageError, match=r"benchmark .* not ready .*\(not done yet\).*mtf benchma"):
        ship(finished_run, out)
    shutil.move(benchmark, finished_run / "benchmark")

    result = finished_run / "qat" / "result.json"
    content = result.read_text()
    result.write_text(content.replace('"wall_time_s": ', '"wall_time_s": 1'))
    with pytest.raises(UsageError, match=r"export .* not ready .*\(qat was made again\)"):
        ship(finished_run, out)
    result.write_text(content)

    file = finished_run / "export" / "v1_005_r32_b2_int8_qat.tflite"
    file.write_bytes(file.read_bytes() + b"!")
    with pytest.raises(MtfError, match="is damaged"):
        ship(finished_run, out)
    assert not out.exists()


def test_a_second_model_of_the_same_network_is_refused(finished_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "zoo"
    ship(finished_run, out, name="first")
    with pytest.raises(UsageError, match="--name first --overwrite"):
        ship(finished_run, out)
    assert [path.name for path in out.iterdir()] == ["first"]
    card = out / "first" / CARD_FILE
    card.write_text("{")
    with pytest.raises(MtfError, match=r"card\.json is damaged"):
        ship(finished_run, out)
    assert ship(finished_run, out, name="first", overwrite=True).name == "first"


def test_a_run_without_qat_is_refused(finished_run: Path, tmp_path: Path) -> None:
    run = RunFolder(finished_run)
    recipe = run.load_recipe()
    without = msgspec.structs.replace(recipe.qat, epochs=0)
    run.save_recipe(msgspec.structs.replace(recipe, qat=without))
    with pytest.raises(UsageError, match=r"leaves quantization-aware training out"):
        ship(finished_run, tmp_path / "zoo")


def test_a_failure_leaves_no_trace_and_the_old_model(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "zoo"
    (out / NAME).mkdir(parents=True)
    (out / NAME / CARD_FILE).write_text("old")
    monkeypatch.setattr("mobilenet_tf.pipeline.shipping.score_on_test", None)
    with pytest.raises(TypeError):
        ship(finished_run, out, overwrite=True)
    assert [path.name for path in out.rglob("*")] == [NAME, CARD_FILE]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_is_not_taken_for_a_model(
    overwrite: bool, finished_run: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(finished_run, tmp_path / NAME))
    with pytest.raises(UsageError, match="give another --name"):
        ship(finished_run, tmp_path, overwrite=overwrite)
    assert (other / "train" / "result.json").is_file()


def test_a_result_names_files_of_its_own_stage_alone(finished_run: Path, tmp_path: Path) -> None:
    run = RunFolder(finished_run)
    export = run.load_stage("export")
    for name in ("../../other.tflite", "/etc/passwd", "absent.tflite"):
        files = tuple(msgspec.structs.replace(f, file=name) for f in export.metrics.files)
        metrics = msgspec.structs.replace(export.metrics, files=files)
        with pytest.raises(MtfError, match="not one of its files"):
            find_int8_file(run, msgspec.structs.replace(export, metrics=metrics))
