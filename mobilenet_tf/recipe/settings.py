"""What is known of each setting, read from the sections: checks, options and tables use it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect
from msgspec.structs import replace

from mobilenet_tf.errors import UsageError, nearest, suggest
from mobilenet_tf.recipe.sections import Recipe

SHOWN = 60  # characters of a refused value


@dataclass(frozen=True)
class Setting:
    """One setting of a recipe; `key` is `train.epochs`, or `seed`."""

    key: str
    section: type[msgspec.Struct]
    kind: inspect.Type
    default: Any
    description: str

    @property
    def name(self) -> str:
        """Its name without the section."""
        return self.key.rpartition(".")[2]

    @property
    def is_list(self) -> bool:
        """Whether it takes several values."""
        return any(isinstance(kind, inspect.VarTupleType) for kind in _alternatives(self.kind))

    @property
    def is_switch(self) -> bool:
        """Whether it is true or false and nothing else."""
        return isinstance(self.kind, inspect.BoolType)

    @property
    def is_text(self) -> bool:
        """Whether it is free text."""
        return isinstance(self.kind, inspect.StrType)

    @property
    def metavar(self) -> str:
        """What a help text shows for a value: `INTEGER`, `[sgd|adamw]`."""
        return "|".join(_name(kind) for kind in _alternatives(self.kind))

    @property
    def bounds(self) -> str:
        """The range of a number, without the words before it: "from 1 to 10,000"."""
        return next(filter(None, map(_bounds, _alternatives(self.kind))), "")

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it, or an item of it, may be; empty where there is no such list."""
        return _choices(self.kind)

    @property
    def range(self) -> str:
        """What is allowed: "a whole number from 1 to 10,000"."""
        return " or ".join(_describe(kind) for kind in _alternatives(self.kind))


class SettingRow(NamedTuple):
    """A row of the table of settings."""

    key: str
    default: str
    range: str
    description: str


@cache
def all_settings() -> dict[str, Setting]:
    """Return every setting by its key, in the order of the sections."""
    return {setting.key: setting for setting in list_settings(Recipe)}


def list_settings(section: type[msgspec.Struct], prefix: str = "") -> list[Setting]:
    """Return the settings that a section and the sections within it declare."""
    info = inspect.type_info(section)
    found: list[Setting] = []
    for field in info.fields if isinstance(info, inspect.StructType) else ():
        kind, key = field.type, prefix + field.name
        if isinstance(kind, inspect.StructType):
            found += list_settings(kind.cls, f"{key}.")
            continue
        described = kind.extra_json_schema or {} if isinstance(kind, inspect.Metadata) else {}
        text = described.get("description", "")
        found.append(Setting(key, section, _bare(kind), field.default, text))
    return found


def describe_settings() -> list[SettingRow]:
    """Return the table of all settings: key, default as TOML, range, description."""
    return [
        SettingRow(setting.key, format_value(setting.default), setting.range, setting.description)
        for setting in all_settings().values()
    ]


def check_setting(key: str, value: Any) -> Any:
    """Return `value` as the type of the setting `key`.

    Raises:
        UsageError: there is no such setting, or the value is of another type or out of range.
    """
    setting = all_settings().get(key)
    if setting is None:
        raise UsageError(_explain_unknown(key))
    return check_value(setting, value)


def check_value(setting: Setting, value: Any) -> Any:
    """Return `value` as the type of `setting`; see `check_setting`."""
    plain = value
    if isinstance(value, Integral) and not isinstance(value, bool):
        plain = int(value)  # numpy's, too
    elif isinstance(value, Real) and not isinstance(value, bool):
        plain = float(value)
        if not math.isfinite(plain):
            raise UsageError(f"{setting.key} is {value}; give a finite number")
    try:
        checked = msgspec.convert({setting.name: plain}, setting.section)
    except (msgspec.ValidationError, OverflowError) as error:
        hint = f"give {setting.range}"
        given = _item(value, str(error))
        if isinstance(given, str) and nearest(given, setting.choices):
            hint = suggest(given, setting.choices)
        raise UsageError(f"{setting.key} is {show(value)}; {hint}") from error
    return getattr(checked, setting.name)


def replace_settings(recipe: Recipe, given: Mapping[str, Any]) -> Recipe:
    """Return the recipe with other values of some settings: `{"train.epochs": 30}`.

    Raises:
        UsageError: there is no such setting, or a value is of another type or out of range.
    """
    for key, value in given.items():
        checked = check_setting(key, value)
        section, _, name = key.rpartition(".")
        if section:
            checked = replace(getattr(recipe, section), **{name: checked})
        recipe = replace(recipe, **{section or name: checked})
    return recipe


def format_value(value: Any) -> str:
    """Write a value of a setting as TOML: `["float32"]`, `false`."""
    if isinstance(value, tuple):
        return "[" + ", ".join(format_value(item) for item in value) + "]"
    return json.dumps(value) if isinstance(value, (bool, str)) else str(value)


def show(value: Any) -> str:
    """Return a refused value for a message, shortened."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # thousands of digits or levels
        return "far too large"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _explain_unknown(key: str) -> str:
    """Say that there is no setting `key`, and which one may be meant."""
    settings = all_settings()
    if any(known.startswith(f"{key}.") for known in settings):
        return f"{show(key)} is a section; name a setting in it: {_listed(key)}"
    section, _, name = key.rpartition(".")
    near_by = [s for s in settings.values() if not section or s.key.startswith(f"{section}.")]
    if near_by:
        near = nearest(name, [setting.name for setting in near_by])
        alike = [setting.key for setting in near_by if setting.name == near]
    else:  # an unknown section
        alike = [near] if (near := nearest(key, settings)) else []
    hint = f"did you mean {' or '.join(map(repr, alike))}? " if alike else ""
    known = f"known: {_listed(section)}" if _listed(section) else ""
    return f"unknown setting {show(key)}; {hint}{known or 'docs/reference/settings.md lists all'}"


def _listed(section: str) -> str:
    prefix = f"{section}." if section else ""
    return ", ".join(
        setting.name
        for setting in all_settings().values()
        if setting.key.startswith(prefix) and (prefix or "." not in setting.key)
    )


def _item(value: Any, message: str) -> Any:
    """Return the item of a list that msgspec's message is about, or the value itself."""
    if isinstance(value, (list, tuple)):
        return next((item for index, item in enumerate(value) if f"[{index}]" in message), value)
    return value


def _bare(kind: inspect.Type) -> inspect.Type:
    return _bare(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _alternatives(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    kind = _bare(kind)
    if isinstance(kind, inspect.UnionType):
        return tuple(_bare(inner) for inner in kind.types)
    return (kind,)


def _choices(kind: inspect.Type) -> tuple[str, ...]:
    found: list[str] = []
    for inner in _alternatives(kind):
        if isinstance(inner, inspect.LiteralType):
            found += map(str, inner.values)
        elif isinstance(inner, inspect.VarTupleType):
            found += _choices(inner.item_type)
    return tuple(found)


def _describe(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if isinstance(kind, inspect.LiteralType):
        *first, last = map(str, kind.values)
        return f"{', '.join(first)} or {last}" if first else last
    if isinstance(kind, inspect.VarTupleType):
        return f"a list, each {' or '.join(map(_describe, _alternatives(kind.item_type)))}"
    if isinstance(kind, (inspect.IntType, inspect.FloatType)):
        what = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
        return f"{what} {_bounds(kind)}"
    return "text"


def _bounds(kind: inspect.Type) -> str:
    if not isinstance(kind, (inspect.IntType, inspect.FloatType)):
        return ""
    low = f"from {kind.ge:,}" if kind.ge is not None else f"above {kind.gt:,}, up"
    high = f"to {kind.le:,}" if kind.le is not None else f"to less than {kind.lt:,}"
    return f"{low} {high}"


def _name(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.LiteralType):
        return f"[{'|'.join(map(str, kind.values))}]"
    if isinstance(kind, inspect.VarTupleType):
        return "|".join(_name(item) for item in _alternatives(kind.item_type))
    names = {inspect.IntType: "INTEGER", inspect.FloatType: "NUMBER", inspect.BoolType: "BOOLEAN"}
    return names.get(type(kind), "TEXT")
