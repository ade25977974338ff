"""Options that set a setting of the recipe: name, type, range, default and help come from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from mobilenet_tf.cli.completion import complete_dataset, complete_model, complete_run, complete_zoo
from mobilenet_tf.errors import UsageError
from mobilenet_tf.recipe import (
    Recipe,
    Setting,
    all_settings,
    check_setting,
    format_value,
    load_recipe,
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
    """Return a decorator that adds an option for each named setting of a section; all for none.

    `fallback` says whose value holds where one is not given: "the run's own".
    """

    def decorate(function: F) -> F:
        for key, setting in reversed(all_settings().items()):
            if key.rpartition(".")[0] == section and (not names or setting.name in names):
                function = _make_option(setting, fallback)(function)
        return function

    return decorate


def take_settings(values: dict[str, Any]) -> dict[str, Any]:
    """Take the settings out of a command's values, as typed: `{"train.epochs": 30}`; --set wins."""
    known = {key: values.pop(_parameter(key), None) for key in all_settings()}
    given = {key: value for key, value in known.items() if value not in (None, ())}
    return given | parse_overrides(values.pop("overrides", ()))


def load_start_recipe(name: str | None, given: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `given` settings change: the one named, else the dataset's own."""
    from mobilenet_tf.data.catalog import dataset_info

    own = "folder" if given.get("data.path") else ""
    return load_recipe(name or own or dataset_info(given.get("data.name", "cifar10")).recipe)


def format_given(given: Mapping[str, Any]) -> list[str]:
    """Return settings as words of a command line: `["--set", "train.epochs=30"]`."""
    return [word for key in given for word in ("--set", f"{key}={format_value(given[key])}")]


def _complete_key(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [f"{key}=" for key in all_settings() if key.startswith(incomplete)]


set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Any setting of the recipe (docs/reference/settings.md), such as train.epochs=10;"
    " can be repeated.",
    shell_complete=_complete_key,
)


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
