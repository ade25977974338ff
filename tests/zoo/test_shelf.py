from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.recipe import Options, load_recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.names import recipe_variant
from mobilenet_tf.zoo import shelf as zoo

SHIPPED = zoo.model_names()
LARGEST_ZOO_BYTES = 40e6


@pytest.fixture
def copied_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of one model's folder, which is the whole zoo for this test."""
    folder = tmp_path / "zoo"
    shutil.copytree(zoo.zoo_folder() / SHIPPED[0], folder / SHIPPED[0])
    monkeypatch.setattr(zoo, "zoo_folder", lambda: folder)
    return folder / SHIPPED[0]


def test_models_ship_and_are_small_together() -> None:
    assert SHIPPED
    sizes = [path.stat().st_size for path in zoo.zoo_folder().rglob("*") if path.is_file()]
    assert sum(sizes) < LARGEST_ZOO_BYTES


def test_a_network_ships_once() -> None:
    kinds = [(card.dataset, card.variant, card.stride_plan) for card in zoo.load_cards()]
    assert len(set(kinds)) == len(kinds), 'weights="cifar10" would not know which'


@pytest.mark.parametrize("name", SHIPPED)
def test_every_file_is_what_its_card_says(name: str) -> None:
    card = zoo.load_card(name)
    start = f"artifacts/zoo/{name}/{zoo.START_FILE}"  # where the recipe looks for it
    begun = {zoo.START_FILE} if card.recipe.train.weights == start else set()
    shipped = {card.tflite, card.tflite_uint8, card.weights, zoo.RECIPE_FILE}
    assert shipped | begun == set(card.files)
    for file, record in card.files.items():
        assert zoo.check_file(card, file).stat().st_size == record.size_bytes
    held = {path.name for path in (zoo.zoo_folder() / name).iterdir()}
    assert held == {*card.files, zoo.CARD_FILE, zoo.PAGE_FILE}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_a_file_classifies_test_images_as_its_card_says(name: str, cifar10_dir: Path) -> None:
    from mobilenet_tf.pipeline.benchmark import score_on_test
    from mobilenet_tf.pipeline.export import to_probabilities
    from mobilenet_tf.tflite.interpreter import Classifier

    card = zoo.load_card(name)
    recipe = load_recipe(str(zoo.check_file(card, zoo.RECIPE_FILE)))
    predict = to_probabilities(Classifier.load(zoo.check_file(card, card.tflite)))
    count = card.check.test_count
    assert count == 1000
    assert score_on_test(predict, recipe, cifar10_dir, count=count).top1 == card.check.top1


@pytest.mark.parametrize("name", SHIPPED)
def test_the_command_of_a_card_is_a_whole_recipe(name: str, tmp_path: Path) -> None:
    card = zoo.load_card(name)
    recipe = load_recipe(str(zoo.check_file(card, zoo.RECIPE_FILE)))
    make_plan(RunFolder(tmp_path / "run"), recipe)
    assert (recipe.model.name, recipe.data.name) == (card.model, card.dataset)
    assert recipe == card.recipe


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_weights_are_loaded_by_the_data_they_come_from(name: str) -> None:
    from mobilenet_tf.api.models import create_model
    from mobilenet_tf.models.weights import read_weights, weight_variables

    card = zoo.load_card(name)
    model = create_model(
        card.model,
        alpha=card.recipe.model.alpha,
        resolution=card.recipe.model.resolution_px,
        options=Options(block_count=card.recipe.model.block_count),
        weights=card.dataset,
    )
    assert model.output_shape == (None, len(card.classes))
    tensors, _ = read_weights(zoo.zoo_folder() / name / card.weights)
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"float16"}
    for path, variable in weight_variables(model).items():
        np.testing.assert_array_equal(variable.numpy(), tensors[path].astype(np.float32))


@pytest.mark.parametrize(
    ("wanted", "alpha", "stride_plan", "message"),
    [
        ("cifar10", 0.4, "cifar", "no cifar10 weights for v1_040_r32 with cifar strides"),
        ("cifar10", 0.5, "imagenet", "with imagenet strides in the zoo; it has v1_025"),
        ("cifar11", 0.5, "cifar", "no weights 'cifar11'.* did you mean 'cifar10'"),
    ],
)
def test_weights_that_there_are_not_are_refused(
    wanted: str, alpha: float, stride_plan: str, message: str
) -> None:
    variant = make_variant(
        "mobilenet_v1", alpha=alpha, resolution_px=32, classes=10, stride_plan=stride_plan
    )
    with pytest.raises(UsageError, match=message):
        zoo.find_weights(wanted, variant)


def test_a_name_stands_for_the_file_unless_there_is_one(
    copied_zoo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = zoo.load_card(copied_zoo.name)
    assert zoo.find_tflite(Path(card.name)) == copied_zoo / card.tflite
    assert zoo.find_tflite(Path("other.tflite")) == Path("other.tflite")
    with pytest.raises(UsageError, match=f"mean '{card.name}'"):
        zoo.find_tflite(Path(card.name[:-1]))
    monkeypatch.chdir(tmp_path)
    Path(card.name).mkdir()  # a run, or the zoo itself
    assert zoo.find_tflite(Path(card.name)) == copied_zoo / card.tflite
    Path(card.name).rmdir()
    Path(card.name).write_text("a file of the user's")
    assert zoo.find_tflite(Path(card.name)) == Path(card.name)


@pytest.mark.parametrize("damage", [lambda b: b[:-1] + b"!", lambda b: b + b"!"])
def test_a_file_with_another_hash_is_refused(
    copied_zoo: Path, damage: Callable[[bytes], bytes]
) -> None:
    card = zoo.load_card(copied_zoo.name)
    for file in (card.tflite, card.weights):
        path = copied_zoo / file
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(MtfError) as caught:
            zoo.check_file(card, file)
        assert caught.value.exit_code == 1
        for said in (str(path), card.files[file].sha256, zoo.hash_file(path), "git restore"):
            assert said in str(caught.value)
    with pytest.raises(MtfError, match="SHA-256"):
        zoo.find_tflite(Path(card.name))
    with pytest.raises(MtfError, match="SHA-256"):
        zoo.find_weights(card.dataset, recipe_variant(card.recipe))


def test_a_missing_file_is_named(copied_zoo: Path) -> None:
    card = zoo.load_card(copied_zoo.name)
    (copied_zoo / card.weights).unlink()
    with pytest.raises(MtfError, match=f"cannot read .*{card.weights}.*install mobilenet-tf again"):
        zoo.check_file(card, card.weights)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"name": 3}', "[" * 100_000, '{"name":'])
def test_a_damaged_card_is_named(copied_zoo: Path, content: str) -> None:
    (copied_zoo / zoo.CARD_FILE).write_text(content)
    with pytest.raises(MtfError, match=r"card\.json is damaged") as caught:
        zoo.load_cards()
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)


def change(card: dict[str, Any], where: str, value: Any) -> None:
    *parents, last = where.split(".")
    for parent in parents:
        card = card[int(parent)] if isinstance(card, list) else card[parent]
    card[last] = value


@pytest.mark.parametrize(
    ("where", "value", "field"),
    [
        ("name", "other", "$.name"),
        ("name", "../evil", "$.name"),
        ("files", {}, "$.files"),
        ("files", ["a"], "$.files"),
        ("tflite", "../model.tflite", "$.tflite"),
        ("tflite", "a\n", "$.tflite"),
        ("tflite", "another.tflite", "$.tflite"),
        ("weights", "/etc/passwd", "$.weights"),
        ("weights_top1", 2, "$.weights_top1"),
        ("weights_top1", "0.9", "$.weights_top1"),
        ("check.test_count", 10**30, "$.check.test_count"),
        ("model", "mobilenet_v2", "$.model"),
        ("variant", "v1_100_r32", "$.variant"),
        ("dataset", "digits", "$.dataset"),
        ("recipe.train.epochs", "30", "$.recipe.train.epochs"),
        ("recipe.train.new_setting", 1, "new_setting"),
        ("recipe.data.name", "no_such", "no_such"),
        ("stages.qat", None, "$.stages.qat"),
        ("stages.train.metrics.train_count", -1, "$.stages.train.metrics.train_count"),
        ("stages.benchmark.metrics.rows", [], "$.stages.benchmark.metrics.rows"),
        ("stages.benchmark.metrics.rows.0.per_class", [], "rows[0]"),
        ("stages.benchmark.metrics.classes", ["one"], "rows[0]"),
    ],
)
def test_an_edited_card_is_refused_by_field(
    copied_zoo: Path, where: str, value: Any, field: str
) -> None:
    file = copied_zoo / zoo.CARD_FILE
    card = json.loads(file.read_text())
    rows = card["stages"]["benchmark"]["metrics"]["rows"]
    if ".rows.0." in where:
        rows[0][where.rpartition(".")[2]] = value
    else:
        change(card, where, value)
    file.write_text(json.dumps(card))
    with pytest.raises(MtfError) as caught:
        zoo.load_card(copied_zoo.name)
    assert str(file) in str(caught.value)
    assert field in str(caught.value)


def test_a_file_name_outside_the_folder_is_refused(copied_zoo: Path) -> None:
    file = copied_zoo / zoo.CARD_FILE
    card = json.loads(file.read_text())
    card["files"]["../../other"] = next(iter(card["files"].values()))
    file.write_text(json.dumps(card))
    with pytest.raises(MtfError, match=r"\$\.files"):
        zoo.load_card(copied_zoo.name)


def test_a_recipe_of_an_older_version_gets_the_defaults(copied_zoo: Path) -> None:
    file = copied_zoo / zoo.CARD_FILE
    card = json.loads(file.read_text())
    del card["recipe"]["train"]["weights"], card["recipe"]["model"]["block_count"]
    file.write_text(json.dumps(card))
    recipe = zoo.load_card(copied_zoo.name).recipe
    assert (recipe.train.weights, recipe.model.block_count) == ("", 0)


def test_a_card_in_another_models_folder_is_refused(copied_zoo: Path) -> None:
    moved = copied_zoo.rename(copied_zoo.with_name("other"))
    with pytest.raises(MtfError, match=f"is the card of {copied_zoo.name}, not of other"):
        zoo.load_card(moved.name)


@pytest.mark.slow
def test_a_run_and_a_file_are_weights_too(finished_run: Path) -> None:
    variant = recipe_variant(RunFolder(finished_run).load_recipe())
    card, file = zoo.find_weights(str(finished_run), variant)
    assert (card, file.parent) == (None, finished_run / "train")
    assert zoo.find_weights(str(file), variant) == (None, file)


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=f"did you mean '{SHIPPED[0]}'"):
        zoo.load_card(f"{SHIPPED[0]}x")


def test_unfinished_work_beside_the_models_is_none(copied_zoo: Path) -> None:
    shutil.copytree(copied_zoo, copied_zoo.with_name(".work.tmp"))
    assert zoo.model_names() == [copied_zoo.name]


def test_a_card_names_no_folder_of_a_machine() -> None:
    for card in zoo.load_cards():
        text = (zoo.zoo_folder() / card.name / zoo.CARD_FILE).read_text("utf-8")
        for value in json.loads(text)["stages"].values():
            assert " /" not in value["command"]
        for root in ("/home", "/Users", "/root", "/tmp", "/work", "C:\\"):  # noqa: S108  # not used
            assert root not in text
