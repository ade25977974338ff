from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import inspect

from mobilenet_tf.errors import UsageError
from mobilenet_tf.recipe import (
    QUANTIZATIONS,
    Recipe,
    Setting,
    all_settings,
    check_setting,
    format_value,
    list_differences,
    load_recipe,
    parse_recipe,
    recipe_names,
    replace_settings,
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
    ("override", "near"),
    [
        ("model.alpa=1", "model.alpha"),
        ("modle.alpha=1", "model.alpha"),
        ("sede=1", "seed"),
        ("epochs=3", "train.epochs"),
        ("train.lr=3", "train.learning_rate"),
    ],
)
def test_an_unknown_setting_gets_the_nearest(override: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{near}'"):
        load_recipe("quickstart", (override,))


def outside(setting: Setting) -> Iterator[object]:
    """Yield values of another type than a setting's, and just beyond its range."""
    yield from (None, {"a": 1}, object(), float("nan"), float("inf"), 10**5000)
    if setting.is_text:
        yield from (1, True, "x" * 5000)
    elif setting.is_switch:
        yield from (1, "yes")
    elif setting.is_list:
        yield from (1, [-1], [1] * 1000)
        if not isinstance(getattr(setting.kind, "item_type", None), inspect.StrType):
            yield ["nonsense"]
    else:
        yield "nonsense"
    for kind in (setting.kind, *getattr(setting.kind, "types", ())):
        if isinstance(kind, (inspect.IntType, inspect.FloatType)):
            step = 1 if isinstance(kind, inspect.IntType) else 1e-6
            yield True
            yield kind.gt if kind.ge is None else kind.ge - step
            yield kind.lt if kind.le is None else kind.le + step


@pytest.mark.parametrize("setting", all_settings().values(), ids=all_settings())
def test_every_setting_refuses_what_is_out_of_range_by_its_name(setting: Setting) -> None:
    for value in outside(setting):
        if isinstance(value, bool) and setting.key == "augmentation.flip":
            continue
        with pytest.raises(UsageError, match=f"^{setting.key} is "):
            check_setting(setting.key, value)
    assert check_setting(setting.key, setting.default) == setting.default


@pytest.mark.parametrize("setting", all_settings().values(), ids=all_settings())
def test_every_setting_has_a_sentence_and_every_number_two_ends(setting: Setting) -> None:
    assert setting.description.endswith(".")
    kinds = [setting.kind, *getattr(setting.kind, "types", ())]
    kinds += [kind.item_type for kind in kinds if isinstance(kind, inspect.VarTupleType)]
    for kind in kinds:
        if isinstance(kind, (inspect.IntType, inspect.FloatType)):
            assert (kind.ge, kind.gt) != (None, None)
            assert (kind.le, kind.lt) != (None, None)


def test_every_default_as_toml_is_read_as_itself() -> None:
    defaults = {key: format_value(setting.default) for key, setting in all_settings().items()}
    assert (defaults["deterministic"], defaults["data.resize"]) == ("false", '"crop"')
    overrides = [f"{key}={default}" for key, default in defaults.items()]
    assert load_recipe("cifar10", overrides) == Recipe()


def test_typed_settings_replace_those_of_a_recipe() -> None:
    recipe = replace_settings(Recipe(), {"seed": 3, "train.epochs": 2, "model.alpha": 1})
    assert (recipe.seed, recipe.train.epochs, recipe.model.alpha) == (3, 2, 1.0)
    assert replace_settings(recipe, {}) == recipe
    with pytest.raises(UsageError):
        replace_settings(recipe, {"train.epoch": 2})


@pytest.mark.parametrize(
    "text", ["9" * 5000, "0x" + "f" * 6000, "[" * 50_000, "{a=" * 20_000, "1e400", "-inf"]
)
def test_a_monstrous_value_is_refused_in_a_sentence(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("quickstart", (f"train.epochs={text}",))
    assert len(str(caught.value)) < 300
    file = tmp_path / "monster.toml"
    file.write_text(f"[train]\nepochs = {text}\n")
    with pytest.raises(UsageError):
        load_recipe(str(file))


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "huge.toml"
    with file.open("wb") as sparse:
        sparse.truncate(9 * 2**30)
    with pytest.raises(UsageError, match="is larger than"):
        load_recipe(str(file))


@pytest.mark.parametrize("override", ["model=3", "data={a=1}"])
def test_a_section_takes_no_value(override: str) -> None:
    with pytest.raises(UsageError, match="is a section"):
        load_recipe("quickstart", (override,))
    with pytest.raises(UsageError, match="is a section"):
        parse_recipe({"model": 3}, "a test")


@pytest.mark.parametrize("override", ["seed", "=1", "a.b.c=1", "model.=1", ".alpha=1", ""])
def test_an_override_of_another_form_is_refused(override: str) -> None:
    with pytest.raises(UsageError, match=r"is not of the form section\.key=value"):
        load_recipe("quickstart", (override,))


def test_an_override_cannot_treat_a_value_as_a_section() -> None:
    with pytest.raises(UsageError):
        load_recipe("quickstart", ("seed.value=2",))


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
