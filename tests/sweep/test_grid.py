from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.recipe import Recipe, load_axes, load_recipe, replace_settings
from mobilenet_tf.sweep.grid import make_grid, make_trials

MANY = ",".join(map(str, range(1, 1001)))


def make_recipe(given: Mapping[str, Any]) -> Recipe:
    return replace_settings(load_recipe("quickstart"), given)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("model.alpha=0.25,0.5", (0.25, 0.5)),
        ("model.alpha=1,1.0, 0.5,", (1.0, 0.5)),
        ("model.name=mobilenet_v1,mobilenet_v2", ("mobilenet_v1", "mobilenet_v2")),
        ("augmentation.flip=true,alternating", (True, "alternating")),
        ("train.progressive_px=[16,24],[16]", ((16, 24), (16,))),
        ("train.progressive_px=[16,24]", ((16, 24),)),
    ],
)
def test_values_are_parted_by_commas(text: str, values: tuple[Any, ...]) -> None:
    assert list(make_grid({}, [text]).axes.values()) == [values]


def test_a_recipe_may_have_a_table_which_options_replace(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(
        'seed = 3\n[sweep]\n"model.alpha" = [0.25, 0.5]\n[sweep.train]\nepochs = [1, 2]\n'
        "progressive_px = [16, 24]\n"
    )
    assert load_recipe(str(file)).seed == 3
    grid = make_grid(load_axes(str(file)), ["model.alpha=1"])
    assert grid.axes == {
        "model.alpha": (1.0,),
        "train.epochs": (1, 2),
        "train.progressive_px": ((16, 24),),
    }
    assert grid.count == 2


@pytest.mark.parametrize(
    ("texts", "word"),
    [
        (["model.alpha="], "no value"),
        (["model.alpha"], "section.key"),
        (["model.alpa=1"], "'model.alpha'"),
        (["model.alpha=0.5,9"], "9"),
        ([f"seed={MANY}", f"train.epochs={MANY}"], "1,000,000"),
    ],
)  # fmt: skip
def test_what_is_no_grid_is_refused(texts: list[str], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        make_grid({}, texts)


def test_a_trial_has_one_name_in_every_sweep(tmp_path: Path) -> None:
    one, _ = make_trials(
        make_grid({}, ["model.alpha=0.25,0.5", "seed=1,2"]), make_recipe, tmp_path, None
    )
    other, _ = make_trials(
        make_grid({}, ["seed=2", "model.alpha=0.5", "train.epochs=12"]), make_recipe, tmp_path, None
    )
    assert len({trial.name for trial in one}) == 4
    assert {trial.name for trial in other} < {trial.name for trial in one}  # 12 is the recipe's
    assert not list(tmp_path.iterdir())


def test_what_a_model_refuses_is_named_and_the_others_stay(tmp_path: Path) -> None:
    grid = make_grid({}, ["model.name=alexnet,mobilenet_v1", "model.squeeze_excitation=on,off"])
    trials, refused = make_trials(grid, make_recipe, tmp_path, None)
    assert len(trials) == 2
    assert [refusal.label for refusal in refused] == [
        f'model.name="{name}", model.squeeze_excitation="on"'
        for name in ("alexnet", "mobilenet_v1")
    ]
    assert all("squeeze" in refusal.reason for refusal in refused)
