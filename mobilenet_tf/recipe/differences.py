"""Settings as plain values, and what differs between two of them."""

from __future__ import annotations

from typing import Any

import msgspec

from mobilenet_tf.recipe.sections import Recipe


def settings_of(recipe: Recipe, sections: tuple[str, ...]) -> dict[str, Any]:
    """Return the named sections and the seed as plain values, for result.json and comparison."""
    names = ("seed", "deterministic", *sections)
    chosen = {name: getattr(recipe, name) for name in names}
    settings: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(chosen))  # tuples as lists
    return settings


def with_defaults(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings of `settings_of` with what an older version had not yet, at its default.

    A new setting's default is what was done before there was a choice.
    """
    defaults = settings_of(Recipe(), tuple(settings.keys() & set(Recipe.__struct_fields__)))
    return {
        name: {**defaults[name], **value}
        if isinstance(value, dict) and isinstance(defaults.get(name), dict)
        else value
        for name, value in settings.items()
    }


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
