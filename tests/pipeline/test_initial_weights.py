from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.data.splits import Split
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.weights import read_weights, weight_variables
from mobilenet_tf.pipeline import train
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.pipeline.origins import find_weights_file
from mobilenet_tf.pipeline.plan import Plan, make_plan
from mobilenet_tf.pipeline.stages import Work
from mobilenet_tf.pipeline.train import fit_new_head, has_begun, load_start, save_chosen
from mobilenet_tf.recipe import Recipe, load_recipe, parse_recipe, replace_settings
from mobilenet_tf.runs.folder import CHECKPOINT_FILE, START_FILE, RunFolder
from mobilenet_tf.runs.names import recipe_variant, weights_name
from mobilenet_tf.zoo import shelf as zoo

pytestmark = pytest.mark.slow

CARD = next(card for card in zoo.load_cards() if card.dataset == "cifar10")
CLASSIFIER = ("conv_preds/kernel", "conv_preds/bias")


def tiny(weights: object = "", data: str = "synthetic", **model: Any) -> Recipe:
    """Return a recipe of one epoch of three steps."""
    content = {
        "data": {"name": data, "validation_count": 64},
        "augmentation": {"flip": False},
        "model": {"alpha": 0.05, "resolution_px": 16, "block_count": 2} | model,
        "train": {"epochs": 1, "batch_size": 128, "learning_rate": 1e-9, "weights": str(weights)},
    }
    return parse_recipe(content, "the test")


def plan_of(recipe: Recipe) -> Plan:
    return make_plan(RunFolder(Path("no such run")), recipe)


def begin(model: Any, recipe: Recipe, folder: Path) -> Any:
    return load_start(model, plan_of(recipe), folder)


def find_start(recipe: Recipe) -> Path:
    return find_weights_file(recipe, recipe_variant(recipe))


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Return the weights of a network for `synthetic`, unlike those that a seed of 1 gives."""
    recipe = tiny()
    model = build_variant(recipe_variant(recipe), seed=9)
    save_chosen(model, tmp_path, plan_of(recipe), "float32")
    return (tmp_path / weights_name(recipe, "float32")).rename(tmp_path / "trained.safetensors")


def shares(model: Any, tensors: dict[str, Any]) -> set[str]:
    """Return the names of the kernels and biases that a model has from a file."""
    return {
        name
        for name, variable in weight_variables(model).items()
        if name.rpartition("/")[2] in ("kernel", "depthwise_kernel", "bias")
        and variable.shape == tensors[name].shape
        and np.array_equal(variable.numpy(), tensors[name])
    }


def test_the_same_classes_keep_their_classifier(trained: Path, tmp_path: Path) -> None:
    recipe = tiny(trained)
    model = build_float_model(recipe)
    start = begin(model, recipe, tmp_path)
    tensors, _ = read_weights(trained)
    for name, variable in weight_variables(model).items():
        np.testing.assert_array_equal(variable.numpy(), tensors[name], err_msg=name)
    assert start.at_random == ()


@pytest.mark.parametrize("data", ["digits", "cifar100"])  # as many classes, and more
def test_other_classes_get_a_new_classifier(trained: Path, data: str, tmp_path: Path) -> None:
    recipe = tiny(trained, data)
    model, fresh = build_float_model(recipe), build_float_model(recipe)
    assert set(begin(model, recipe, tmp_path).at_random) == set(CLASSIFIER)
    tensors, _ = read_weights(trained)
    taken = shares(model, tensors)
    assert {"conv1/kernel", "conv_dw_1/depthwise_kernel", "conv_pw_2/kernel"} <= taken
    for name in CLASSIFIER:
        np.testing.assert_array_equal(
            weight_variables(model)[name].numpy(), weight_variables(fresh)[name].numpy()
        )
    assert CLASSIFIER[0] not in taken


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"alpha": 0.1}, "v1_005_r16_b2 and do not fit this run's mobilenet_v1 with alpha 0.1"),
        ({"name": "mobilenet_v2"}, "do not fit this run's mobilenet_v2 with alpha 0.05"),
        ({"block_count": 1}, "block_count 2, and|do not fit this run's .*b1"),
        ({"head_units": 8}, None),
    ],
)
def test_weights_of_another_network_are_refused_before_anything_is_built(
    changed: dict[str, Any], said: str | None, trained: Path
) -> None:
    if said is None:
        plan_of(tiny(trained, "digits", **changed))
        return
    with pytest.raises(UsageError, match=said):
        plan_of(tiny(trained, "digits", **changed))


def test_without_weights_nothing_happens(tmp_path: Path) -> None:
    recipe = tiny()
    assert begin(None, recipe, tmp_path) is None


def test_names_of_the_zoo_are_found() -> None:
    model = {
        key: getattr(CARD.recipe.model, key) for key in ("alpha", "resolution_px", "block_count")
    }
    file = zoo.zoo_folder() / CARD.name / CARD.weights
    assert find_start(tiny("cifar10", **model)) == file
    assert find_start(tiny(CARD.name, **(model | {"resolution_px": 64}))) == file
    theirs = f"they have model.alpha {model['alpha']}, and this run has 0.05"
    with pytest.raises(UsageError, match=re.escape(theirs)):
        find_start(tiny(CARD.name, block_count=0))
    with pytest.raises(UsageError, match="no cifar10 weights for v1_005_r16"):
        find_start(tiny("cifar10", block_count=0))
    with pytest.raises(UsageError, match="did you mean 'cifar10'"):
        find_start(tiny("cifar1"))


def test_training_starts_from_them_and_records_it(trained: Path, tmp_path: Path) -> None:
    outcome = train.run(Work(plan_of(tiny(trained)), tmp_path, {}))
    assert outcome.metrics.start.at_random == ()
    before, _ = read_weights(trained)
    after, _ = read_weights(tmp_path / "v1_005_r16_b2_float32.safetensors")
    np.testing.assert_allclose(after["conv1/kernel"], before["conv1/kernel"], atol=1e-6)


def test_a_new_classifier_is_fitted_once_before_the_first_epoch(
    trained: Path, tmp_path: Path
) -> None:
    recipe = replace_settings(
        tiny(trained, "digits"), {"train.head_first": True, "train.freeze_batch_norm": True}
    )
    outcome = train.run(Work(plan_of(recipe), tmp_path, {}, {}))
    start = outcome.metrics.start
    assert (start.source, set(start.at_random)) == (str(trained), set(CLASSIFIER))
    assert start.head_top1 == outcome.metrics.validation_top1  # the rate is next to none
    before, _ = read_weights(trained)
    after, _ = read_weights(tmp_path / "v1_005_r16_b2_float32.safetensors")
    np.testing.assert_array_equal(after["conv1_bn/moving_mean"], before["conv1_bn/moving_mean"])
    assert has_begun(tmp_path)
    assert fit_new_head(None, plan_of(recipe), None, tmp_path, start) == start


def test_what_has_a_checkpoint_goes_on_without_the_file(trained: Path, tmp_path: Path) -> None:
    recipe, folder = tiny(trained), tmp_path / "train.partial"
    plan, model = plan_of(recipe), build_float_model(recipe)
    start = load_start(model, plan, folder)
    trained.unlink()
    with pytest.raises(MtfError, match="cannot read weights file"):
        load_start(model, plan, folder)
    (folder / CHECKPOINT_FILE).touch()
    assert load_start(model, plan, folder) == start
    (folder / START_FILE).write_text("{")
    with pytest.raises(MtfError, match=r"start\.json is damaged"):
        load_start(model, plan, folder)


def test_a_hundred_classes_are_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.repeat(np.arange(100), 4)
    images = np.random.default_rng(0).integers(0, 256, (400, 32, 32, 3), np.uint8)
    split = Split(images, labels)
    monkeypatch.setattr("mobilenet_tf.data.training.load_training_split", lambda *_: split)
    settings = ("data.validation_count=100", "train.epochs=1", "train.batch_size=50")
    settings += ("model.block_count=1",)
    recipe = load_recipe("cifar100_v1_010", settings)
    metrics = train.run(Work(plan_of(recipe), tmp_path, {})).metrics
    assert (metrics.train_count, metrics.validation_count) == (300, 100)
    assert metrics.steps_per_epoch == 6
    tensors, _ = read_weights(tmp_path / "v1_010_r32_b1_float32.safetensors")
    assert tensors["conv_preds/kernel"].shape[-1] == 100
