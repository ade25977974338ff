from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.models.keras_builder import MobileNetV1, build_model
from mobilenet_tf.models.options import Options
from mobilenet_tf.models.weights import read_weights, weight_variables
from mobilenet_tf.pipeline.benchmark import score_on_test
from mobilenet_tf.pipeline.export import to_probabilities
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.zoo import shelf as zoo

SHIPPED = zoo.model_names()
LARGEST_ZOO_BYTES = 30e6


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
    begun = {zoo.START_FILE} if card.recipe["train"].get("weights") == start else set()
    assert {card.tflite, card.weights, zoo.RECIPE_FILE} | begun == set(card.files)
    for file, record in card.files.items():
        assert zoo.check_file(card, file).stat().st_size == record.size_bytes
    held = {path.name for path in (zoo.zoo_folder() / name).iterdir()}
    assert held == {*card.files, zoo.CARD_FILE, zoo.PAGE_FILE}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_file_classifies_test_images_as_its_card_says(name: str, cifar10_dir: Path) -> None:
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
    assert recipe.seed == card.recipe["seed"]
    for section, settings in card.recipe.items():
        for key, value in settings.items() if isinstance(settings, dict) else ():
            read = getattr(getattr(recipe, section), key)
            assert (list(read) if isinstance(read, tuple) else read) == value, key


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_are_loaded_by_the_data_they_come_from(name: str) -> None:
    card = zoo.load_card(name)
    side = card.recipe["model"]["resolution_px"]
    model = build_model(
        card.model,
        alpha=card.recipe["model"]["alpha"],
        resolution_px=side,
        classes=len(card.classes),
        stride_plan=card.stride_plan,
        options=Options(block_count=card.recipe["model"].get("block_count", 0)),
        weights=card.dataset,
    )
    tensors, _ = read_weights(zoo.zoo_folder() / name / card.weights)
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"float16"}
    for path, variable in weight_variables(model).items():
        np.testing.assert_array_equal(variable.numpy(), tensors[path].astype(np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"alpha": 0.4},
            r"no cifar10 weights for v1_040_r32 with cifar strides in the zoo; it has",
        ),
        ({"stride_plan": "imagenet"}, "with imagenet strides in the zoo; it has"),
        ({"input_shape": (40, 40, 3)}, "r40 with cifar strides"),
        ({"weights": "cifar11"}, "no weights 'cifar11' in the zoo.* did you mean 'cifar10'"),
        ({"classes": 3}, "classes 3: the zoo's .* tells 10 classes.* classes=10"),
    ],
)
def test_weights_that_there_are_not_are_refused(changes: dict, message: str) -> None:
    card = next(card for card in zoo.load_cards() if card.model == "mobilenet_v1")
    side = card.recipe["model"]["resolution_px"]
    asked = {"input_shape": (side, side, 3), "alpha": card.recipe["model"]["alpha"], "classes": 10}
    with pytest.raises(UsageError, match=message):
        MobileNetV1(**{**asked, "weights": "cifar10", **changes})


def test_a_name_stands_for_the_file_unless_there_is_one(
    copied_zoo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = zoo.load_card(copied_zoo.name)
    assert zoo.find_tflite(Path(card.name)) == copied_zoo / card.tflite
    assert zoo.find_tflite(Path("other.tflite")) == Path("other.tflite")
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
        zoo.find_weights(card.dataset, variant=card.variant, stride_plan=card.stride_plan)


def test_a_missing_file_is_named(copied_zoo: Path) -> None:
    card = zoo.load_card(copied_zoo.name)
    (copied_zoo / card.weights).unlink()
    with pytest.raises(MtfError, match=f"cannot read .*{card.weights}.*install mobilenet-tf again"):
        zoo.check_file(card, card.weights)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"name": 3}'])
def test_a_damaged_card_is_named(copied_zoo: Path, content: str) -> None:
    (copied_zoo / zoo.CARD_FILE).write_text(content)
    with pytest.raises(MtfError, match=r"card\.json is damaged"):
        zoo.load_cards()


def test_a_card_in_another_models_folder_is_refused(copied_zoo: Path) -> None:
    moved = copied_zoo.rename(copied_zoo.with_name("other"))
    with pytest.raises(MtfError, match=f"is the card of {copied_zoo.name}, not of other"):
        zoo.load_card(moved.name)


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
