"""What is known of each setting, read from the sections, and settings as plain values."""

from __future__ import annotations

import ast
import itertools
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from inspect import getsource
from numbers import Real
from typing import Any

import msgspec
from msgspec import inspect
from msgspec.structs import replace

from mobilenet_tf.errors import UsageError, nearest, suggest
from mobilenet_tf.files import to_utf8
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
    def kinds(self) -> tuple[inspect.Type, ...]:
        """The types that its value may have."""
        return _alternatives(self.kind)

    @property
    def is_list(self) -> bool:
        """Whether it takes several values."""
        return any(isinstance(kind, inspect.VarTupleType) for kind in self.kinds)

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
        return "|".join(_words(kind)[0] for kind in self.kinds)

    @property
    def bounds(self) -> str:
        """The range of a number, without the words before it: "from 1 to 10,000"."""
        return next(filter(None, map(_bounds, self.kinds)), "")

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it, or an item of it, may be; empty where there is no such list."""
        items = [item for kind in self.kinds for item in _items(kind)]
        literals = [item for item in items if isinstance(item, inspect.LiteralType)]
        return tuple(str(value) for literal in literals for value in literal.values)

    @property
    def range(self) -> str:
        """What is allowed: "a whole number from 1 to 10,000"."""
        return " or ".join(_words(kind)[1] for kind in self.kinds)


@cache
def all_settings() -> dict[str, Setting]:
    """Return every setting by its key, in the order of the sections."""
    return {setting.key: setting for setting in list_settings(Recipe)}


def list_settings(section: type[msgspec.Struct], prefix: str = "") -> Iterator[Setting]:
    """Yield every setting that a section and the sections within it declare."""
    info, texts = inspect.type_info(section), _read_texts(section.__module__)
    for field in info.fields if isinstance(info, inspect.StructType) else ():
        kind, key = field.type, prefix + field.name
        if isinstance(kind, inspect.StructType):
            yield from list_settings(kind.cls, f"{key}.")
        else:
            inherited = (texts.get((each.__name__, field.name)) for each in section.__mro__)
            text = next(filter(None, inherited), "")
            yield Setting(key, section, _bare(kind), field.default, text)


@cache
def _read_texts(module: str) -> dict[tuple[str, str], str]:
    """Return the text below each field of each class in the source of a module."""
    classes = [
        c
        for c in ast.walk(ast.parse(getsource(sys.modules[module])))
        if isinstance(c, ast.ClassDef)
    ]
    return {
        (section.name, ast.unparse(field.target)): " ".join(ast.literal_eval(text.value).split())
        for section in classes
        for field, text in itertools.pairwise(section.body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def check_setting(key: str, value: Any) -> Any:
    """Return `value` as the type of the setting `key`.

    Raises:
        UsageError: there is no such setting, or the value is of another type or out of range.
    """
    setting = all_settings().get(key)
    if setting is None:
        raise UsageError(_explain_unknown(key))
    plain = value.item() if isinstance(value, Real) and hasattr(value, "item") else value  # numpy's
    if isinstance(plain, float) and not math.isfinite(plain):
        raise UsageError(f"{key} is {value}; give a finite number")
    if isinstance(plain, str) and to_utf8(plain) != plain:
        raise UsageError(f"{key} is {show(value)}, which is not UTF-8; rename it")
    try:
        checked = msgspec.convert({setting.name: plain}, setting.section)
    except (msgspec.ValidationError, OverflowError) as error:
        words, items = setting.choices, value if isinstance(value, (list, tuple)) else (value,)
        wrong = [item for item in items if isinstance(item, str) and item not in words]
        near = [suggest(item, words) for item in wrong if nearest(item, words)]
        hint = near[0] if near else f"give {setting.range}"
        raise UsageError(f"{key} is {show(value)}; {hint}") from error
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


def settings_of(recipe: Recipe, sections: tuple[str, ...]) -> dict[str, Any]:
    """Return the named sections and the seed as plain values, for result.json and comparison."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(recipe))  # tuples as lists
    return {name: plain[name] for name in ("seed", "deterministic", *sections)}


def changed_settings(recipe: Recipe) -> dict[str, Any]:
    """Return the settings that are not the default by their keys: `{"train.epochs": 30}`."""
    usual, changed = Recipe(), {}
    for key in all_settings():
        section, _, name = key.rpartition(".")
        held, default = (
            getattr(getattr(r, section) if section else r, name) for r in (recipe, usual)
        )
        if held != default:
            changed[key] = held
    return changed


def with_defaults(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings of `settings_of` with what an older version had not yet, at its default.

    A new setting's default is what was done before there was a choice.
    """
    filled = settings_of(Recipe(), Recipe.__struct_fields__)
    for name, value in settings.items():
        both = isinstance(value, dict) and isinstance(filled.get(name), dict)
        filled[name] = {**filled[name], **value} if both else value
    return {name: filled[name] for name in settings}


def list_differences(old: dict[str, Any], new: dict[str, Any], key: str = "") -> list[str]:
    """Return one line for every setting that differs: `train.epochs: 30 there, 40 asked`."""
    lines = []
    for name in sorted(old.keys() | new.keys()):
        dotted = f"{key}.{name}" if key else name
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += list_differences(before, after, dotted)
        elif before != after:
            lines.append(f"{dotted}: {before!r} there, {after!r} asked")
    return lines


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
    section, _, name = key.rpartition(".")
    if inside := _names(key):
        return f"{show(key)} is a section; name a setting in it: {', '.join(inside)}"
    known = _names(section)
    candidates = [s for s in settings.values() if not section or s.key.startswith(f"{section}.")]
    near = nearest(name, [setting.name for setting in candidates])
    alike = [setting.key for setting in candidates if setting.name == near]
    if not known and (other := nearest(key, settings)):  # an unknown section
        alike = [other]
    hint = f"did you mean {' or '.join(map(repr, alike))}? " if alike else ""
    listed = f"known: {', '.join(known)}" if known else "docs/reference/settings.md lists all"
    return f"unknown setting {show(key)}; {hint}{listed}"


def _names(section: str) -> list[str]:
    """Return the names of the settings of a section; of those outside of any for none."""
    settings = all_settings().values()
    return [s.name for s in settings if s.key.rpartition(".")[0] == section]


def _bare(kind: inspect.Type) -> inspect.Type:
    return _bare(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _alternatives(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    kind = _bare(kind)
    return tuple(map(_bare, kind.types)) if isinstance(kind, inspect.UnionType) else (kind,)


def _items(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    """Return the types of the items of a list; of anything else its own."""
    return _alternatives(kind.item_type) if isinstance(kind, inspect.VarTupleType) else (kind,)


def _words(kind: inspect.Type) -> tuple[str, str]:
    """Return what a help text shows for a value of a type, and what is allowed."""
    if isinstance(kind, inspect.BoolType):
        return "BOOLEAN", "true or false"
    if isinstance(kind, inspect.IntType):
        return "INTEGER", f"a whole number {_bounds(kind)}"
    if isinstance(kind, inspect.FloatType):
        return "NUMBER", f"a number {_bounds(kind)}"
    if isinstance(kind, inspect.LiteralType):
        *first, last = words = [str(value) for value in kind.values]
        return f"[{'|'.join(words)}]", f"{', '.join(first)} or {last}" if first else last
    if isinstance(kind, inspect.VarTupleType):
        names, ranges = zip(*map(_words, _items(kind)), strict=True)
        return "|".join(names), f"a list, each {' or '.join(ranges)}"
    return "TEXT", "text"


def _bounds(kind: inspect.Type) -> str:
    if not isinstance(kind, (inspect.IntType, inspect.FloatType)):
        return ""
    low = f"from {kind.ge:,}" if kind.ge is not None else f"above {kind.gt:,}, up"
    high = f"to {kind.le:,}" if kind.le is not None else f"to less than {kind.lt:,}"
    return f"{low} {high}"
