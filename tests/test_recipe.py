from __future__ import annotations

from pathlib import Path

import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.recipe import (
    QUANTIZATIONS,
    Recipe,
    apply_override,
    list_differences,
    load_recipe,
    parse_recipe,
    recipe_names,
    settings_of,
    with_defaults,
)


def test_recipes_that_ship_are_read_and_their_names_are_known() -> None:
    assert {"quickstart", "cifar10", "cifar100"} <= set(recipe_names())
    for name in recipe_names():
        assert isinstance(load_recipe(name), Recipe)
    assert load_recipe("quickstart").data.name == "digits"
    assert load_recipe("cifar10").model.alpha == 0.5


def test_a_file_is_read_and_what_it_leaves_out_has_its_default(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('seed = 7\n[model]\nalpha = 1\n[export]\nquantizations = ["int8_ptq"]\n')
    recipe = load_recipe(str(file))
    assert (recipe.seed, recipe.model.alpha, recipe.export.quantizations) == (7, 1.0, ("int8_ptq",))
    assert isinstance(recipe.model.alpha, float)
    assert recipe.train == Recipe().train


def test_a_recipe_saved_by_an_editor_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(b"\xef\xbb\xbfseed = 7\r\n")
    assert load_recipe(str(file)).seed == 7


def test_overrides_win_over_the_file_and_the_last_one_wins() -> None:
    overrides = ("train.epochs=3", "data.name=synthetic", "seed = 9", "train.epochs=4")
    recipe = load_recipe("quickstart", overrides)
    assert (recipe.train.epochs, recipe.data.name, recipe.seed) == (4, "synthetic", 9)
    listed = load_recipe("quickstart", ('export.quantizations=["float32", "int8_qat"]',))
    assert listed.export.quantizations == ("float32", "int8_qat")


def test_zero_is_a_value_and_not_a_default() -> None:
    recipe = load_recipe("cifar10", ("data.validation_count=0", "train.weight_decay=0", "seed=0"))
    assert (recipe.data.validation_count, recipe.train.weight_decay, recipe.seed) == (0, 0.0, 0)
    assert load_recipe("cifar10", ("qat.epochs=0",)).qat.epochs == 0


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.alpa=1", ["'model.alpa'", "did you mean 'alpha'"]),
        ("modle.alpha=1", ["'modle'", "did you mean 'model'"]),
        ("sede=1", ["'sede'", "did you mean 'seed'"]),
        ("model.alpha=0", ["model.alpha is 0", "> 0"]),
        ("model.alpha=-1", ["model.alpha is -1", "> 0"]),
        ("model.alpha=1.6", ["model.alpha is 1.6", "<= 1.5"]),
        ("model.alpha=nan", ["model.alpha is nan", "finite"]),
        ("train.learning_rate=inf", ["train.learning_rate is inf", "finite"]),
        ("model.alpha=wide", ["model.alpha is 'wide'", "float"]),
        ("model.resolution_px=0", ["model.resolution_px is 0", ">= 8"]),
        ("model.resolution_px=31.5", ["model.resolution_px is 31.5", "int"]),
        ("train.epochs=0", ["train.epochs is 0", ">= 1"]),
        ("train.epochs=true", ["train.epochs is True", "int"]),
        ("deterministic=1", ["deterministic is 1", "bool"]),
        ("seed=-1", ["seed is -1", ">= 0"]),
        ("seed=2147483648", ["seed is 2147483648"]),
        ("model=3", ["model is 3", "object"]),
        ("train.optimizer=sdg", ["train.optimizer is 'sdg'", "did you mean 'sgd'", "adamw"]),
        ("train.progressive_px=foo", ["train.progressive_px is 'foo'", "known: a list, auto"]),
        ("model.squeeze_excitation=true", ["model.squeeze_excitation is True", "known: off, on"]),
        ("export.quantizations=[8]", ["export.quantizations[0] is 8", "int8_qat"]),
        ("data.name=3", ["data.name is 3: expected str, got int"]),
        ("data=3", ["data is 3: expected object"]),
        ("model.dropout=true", ["model.dropout is True", "known: a number, paper"]),
        ("model.dropout=half", ["model.dropout is 'half'", "known: a number, paper"]),
        ("model.dropout=1", ["model.dropout is 1", "< 1.0"]),
        ('export.quantizations=["int8_pt"]', ["quantizations[0] is 'int8_pt'", "'int8_ptq'"]),
        ("export.quantizations=int8_ptq", ["export.quantizations is 'int8_ptq'", "array"]),
        ("export.io_type=int16", ["export.io_type is 'int16'", "int8, uint8"]),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_its_value_and_what_is_allowed(
    override: str, words: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("quickstart", (override,))
    message = str(caught.value)
    assert message.startswith("recipe quickstart: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize("override", ["seed", "=1", "a.b.c=1", "model.=1", ".alpha=1", ""])
def test_an_override_of_another_form_is_refused(override: str) -> None:
    with pytest.raises(UsageError, match=r"is not of the form section\.key=value"):
        load_recipe("quickstart", (override,))


def test_an_override_cannot_treat_a_value_as_a_section() -> None:
    with pytest.raises(UsageError, match="'seed' is not a section"):
        apply_override({"seed": 1}, "seed.value=2")


def test_an_override_of_two_lines_does_not_lose_the_second() -> None:
    with pytest.raises(UsageError, match=r"train\.epochs is '3"):
        load_recipe("quickstart", ("train.epochs=3\nseed=4",))


def test_a_recipe_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        load_recipe(str(tmp_path))
    with pytest.raises(UsageError, match="did you mean 'cifar10'"):
        load_recipe("cifar01")
    with pytest.raises(UsageError, match="neither a file nor a name"):
        load_recipe("")
    with pytest.raises(UsageError, match="neither a file nor a name"):
        load_recipe("x" * 5000)
    with pytest.raises(UsageError, match="neither a file nor a name"):
        load_recipe(str(tmp_path / "missing.toml"))


@pytest.mark.parametrize("content", [b"\x00\x01\xff\xfe", b"seed = ", b"[model\n", b"PK\x03\x04"])
def test_a_recipe_that_is_not_toml_is_refused_by_its_name(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "binary.toml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"binary\.toml is not a recipe in TOML"):
        load_recipe(str(file))


def test_settings_are_plain_values_as_json_gives_them_back() -> None:
    settings = settings_of(Recipe(), ("export", "model"))
    assert settings["export"]["quantizations"] == list(QUANTIZATIONS)
    assert settings.keys() == {"seed", "deterministic", "export", "model"}


def test_settings_cannot_be_changed_after_they_were_checked() -> None:
    with pytest.raises(AttributeError):
        Recipe().seed = 2  # type: ignore[misc]


def test_differences_name_every_setting_that_differs() -> None:
    old = settings_of(parse_recipe({}, "a"), ("train",))
    new = settings_of(parse_recipe({"seed": 2, "train": {"epochs": 31}}, "b"), ("train",))
    assert list_differences(old, new) == [
        "seed: 1 there, 2 asked",
        "train.epochs: 30 there, 31 asked",
    ]
    assert list_differences(old, old) == []
    assert list_differences({"inputs": {}}, {"inputs": {"train": "x"}})


def test_settings_of_an_older_version_have_todays_defaults() -> None:
    old = {"seed": 3, "model": {"name": "mobilenet_v1", "alpha": 0.25}, "inputs": {"train": "x"}}
    filled = with_defaults(old)
    assert filled["model"]["alpha"] == 0.25
    assert filled["model"]["activation"] == "paper"
    assert (filled["seed"], filled["inputs"]) == (3, {"train": "x"})
    assert "deterministic" not in filled
