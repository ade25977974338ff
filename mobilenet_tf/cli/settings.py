"""Options that set a setting of the recipe: name, type, range, default and help come from it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from mobilenet_tf.cli.completion import complete_dataset, complete_model, complete_run, complete_zoo
from mobilenet_tf.errors import UsageError
from mobilenet_tf.recipe import (
    Setting,
    all_settings,
    check_setting,
    format_value,
    parse_overrides,
    parse_value,
)

F = TypeVar("F", bound=Callable[..., Any])

OPTION_NAMES = {  # where it is not the setting's own
    "data.name": "--dataset",
    "data.validation_count": "--validation",
    "model.name": "--model",
    "model.resolution_px": "--resolution",
    "qat.distill_temperature": "--temperature",
    "export.quantizations": "--quantization",
    "export.logits": "--logits/--probabilities",
}
SHORT_VALUES = {"export.quantizations": {"ptq": "int8_ptq", "qat": "int8_qat"}}
COMPLETIONS = {
    "data.name": complete_dataset,
    "model.name": complete_model,
    "train.weights": complete_zoo,
    "train.teacher": complete_run,
}


class SettingType(click.ParamType):
    """A value of a setting, or of an item where the setting is a list."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.name = setting.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value typed and in range, or refuse it."""
        if not isinstance(value, str):
            return value
        short = SHORT_VALUES.get(self.setting.key, {})
        text: Any = short.get(value, value)
        given = text if self.setting.is_text else parse_value(text)
        try:
            checked = check_setting(self.setting.key, [given] if self.setting.is_list else given)
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return checked[0] if self.setting.is_list else checked

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete one of the setting's choices."""
        return [CompletionItem(c) for c in self.setting.choices if c.startswith(incomplete)]


def setting_options(section: str, *names: str, fallback: str) -> Callable[[F], F]:
    """Return a decorator that adds an option for each named setting of a section.

    No names means all. The command gets what was typed as `given`: `{"train.epochs": 30}`.
    `fallback` says whose value holds otherwise: "the run's own".
    """
    inside = [s for s in all_settings().values() if s.key.rpartition(".")[0] == section]
    keys = [setting.key for setting in inside if not names or setting.name in names]

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(**values: Any) -> Any:
            given = values.pop("given", {})
            for key in keys:
                value = values.pop(_parameter(key))
                if value not in (None, ()):
                    given.setdefault(key, value)
            return function(**values, given=given)

        for key in reversed(keys):
            command = _make_option(all_settings()[key], fallback)(command)
        return command  # type: ignore[return-value]

    return decorate


def set_option(function: F) -> F:
    """Add --set, which takes any setting and wins over the options."""

    @functools.wraps(function)
    def command(*, overrides: tuple[str, ...], **values: Any) -> Any:
        given = {**values.pop("given", {}), **parse_overrides(overrides)}
        return function(**values, given=given)

    option = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="Any setting of the recipe (docs/reference/settings.md), such as train.epochs=10;"
        " can be repeated.",
        shell_complete=_complete_key,
    )
    return option(command)  # type: ignore[return-value]


def _complete_key(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [f"{key}=" for key in all_settings() if key.startswith(incomplete)]


def _make_option(setting: Setting, fallback: str) -> Callable[[F], F]:
    declaration = OPTION_NAMES.get(setting.key) or "--" + setting.name.replace("_", "-")
    kind: dict[str, Any] = {}
    if not setting.is_switch:
        kind = {
            "type": SettingType(setting),
            "metavar": setting.metavar,
            "multiple": setting.is_list,
            "shell_complete": COMPLETIONS.get(setting.key),
        }
    elif "/" not in declaration:
        declaration += "/--no-" + declaration.removeprefix("--")
    return click.option(
        declaration, _parameter(setting.key), default=None, help=_help(setting, fallback), **kind
    )


def _help(setting: Setting, fallback: str) -> str:
    """Return an option's help: description, range, default."""
    repeated = " Can be repeated." if setting.is_list else ""
    bounds = f"{setting.bounds}; " if setting.bounds else ""
    text = setting.description.replace("`", "'") + repeated
    return f"{text}  [{bounds}default: {fallback}, else {_default(setting)}]"


def _default(setting: Setting) -> str:
    if setting.default in ("", ()):
        return "none"
    if setting.is_list:
        return ", ".join(map(str, setting.default))
    return format_value(setting.default).strip('"')


def _parameter(key: str) -> str:
    return key.replace(".", "__")
