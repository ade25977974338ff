"""Every number has two ends, the same in every command; monsters are refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest
from msgspec import inspect

from mobilenet_tf.cli.settings import SettingType
from mobilenet_tf.recipe import all_settings
from tests.hostile.conftest import VERBS, give

pytestmark = pytest.mark.slow

MONSTERS = ("9" * 5000, "-" + "9" * 400, "1e400", "nan", "[" * 5000 + "]" * 5000, "\x1b[31m\n", "")
OPTIONS = [
    (words, option)
    for words, command in VERBS.items()
    for option in command.params
    if isinstance(option, click.Option)
]
NUMBERS = [
    (words, option)
    for words, option in OPTIONS
    if isinstance(option.type, (click.types.IntParamType, click.types.FloatParamType, SettingType))
]


def limits(setting: Any) -> Iterator[str]:
    """Yield what lies just outside of the range of a setting."""
    for kind in setting.kinds:
        if isinstance(kind, (inspect.IntType, inspect.FloatType)):
            step = 1 if isinstance(kind, inspect.IntType) else 1e-3
            yield str(kind.le + step if kind.le is not None else kind.lt)
            yield str(kind.ge - step if kind.ge is not None else kind.gt)


@pytest.mark.parametrize(
    ("words", "option"), NUMBERS, ids=lambda v: v.opts[0] if isinstance(v, click.Option) else None
)
def test_a_number_outside_its_range_is_refused_by_every_verb(
    words: tuple[str, ...], option: click.Option, refused: Callable[..., str]
) -> None:
    kind = option.type
    if isinstance(kind, SettingType):
        outside = list(limits(kind.setting))
    else:
        assert isinstance(kind, (click.IntRange, click.FloatRange)), (
            f"{option.opts[0]} has no range"
        )
        assert None not in (kind.min, kind.max), f"{option.opts[0]} has no end"
        outside = [str(kind.max + 1), str(kind.min - 1)]
    for value in (*outside, *MONSTERS):
        if isinstance(kind, SettingType) and kind.setting.is_text and value not in outside:
            continue
        refused(*give(words, "none"), option.opts[0], value, codes=(2,))


@pytest.mark.parametrize("key", all_settings())
def test_a_setting_refuses_monsters(key: str, refused: Callable[..., str]) -> None:
    setting = all_settings()[key]
    for value in limits(setting) if setting.is_text else (*limits(setting), *MONSTERS):
        refused("run", "--set", f"{key}={value}", codes=(2,))


@pytest.mark.parametrize("side", [8, 9, 33, 100, 1023, 1024])
def test_models_has_the_range_of_training(side: int, refused: Callable[..., str]) -> None:
    refused("models", "--layers", "--resolution", str(side), codes=(0,))
    refused("models", "--layers", "--resolution", str(side + 1024), codes=(2,))
