from __future__ import annotations

import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.recipe import Recipe, load_recipe
from mobilenet_tf.runs.names import recipe_variant
from mobilenet_tf.training.progressive import progressive_sides


def sides_of(recipe: Recipe) -> tuple[int, ...]:
    return progressive_sides(recipe, recipe_variant(recipe))


@pytest.mark.parametrize(
    ("overrides", "sides"),
    [
        ((), (16, 24)),
        (("model.resolution_px=24",), (16,)),
        (("model.resolution_px=28",), ()),  # its last stride would meet an odd side
        (("model.resolution_px=16",), (8,)),
        (("model.resolution_px=8",), ()),
        (("model.resolution_px=96", "model.stride_plan=imagenet"), (64,)),
        (("model.resolution_px=224", "model.stride_plan=imagenet"), (128, 192)),
        (("model.stride_plan=imagenet",), ()),
        (("model.name=alexnet", "model.alpha=1"), ()),
    ],
)
def test_auto_takes_what_the_network_can(
    overrides: tuple[str, ...], sides: tuple[int, ...]
) -> None:
    recipe = load_recipe("cifar10", ("train.progressive_px=auto", *overrides))
    assert sides_of(recipe) == sides


def test_sides_that_are_asked_for_are_taken_or_refused() -> None:
    assert sides_of(load_recipe("cifar10", ("train.progressive_px=[]",))) == ()
    assert sides_of(load_recipe("cifar10", ("train.progressive_px=[8, 24]",))) == (8, 24)
    asked = ("train.progressive_px=[16]", "model.name=alexnet", "model.alpha=1")
    alexnet = load_recipe("cifar10", asked)
    with pytest.raises(UsageError, match="alexnet takes one resolution only"):
        sides_of(alexnet)
    with pytest.raises(UsageError, match=r"train\.progressive_px is 'half'"):
        load_recipe("cifar10", ("train.progressive_px=half",))
