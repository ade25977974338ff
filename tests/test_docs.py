"""What the documentation says is what there is: commands, options, settings, links."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import msgspec
import pytest

from mobilenet_tf.cli import run
from mobilenet_tf.cli.main import VERBS, mtf
from mobilenet_tf.recipe import FitSettings, QatSettings, Recipe, recipe_names

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def shell_commands() -> list[str]:
    """Return every `mtf` command line in a shell block of the documentation."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            lines = re.sub(r"\\\n\s*", " ", block).splitlines()
            parts = [part.strip() for line in lines for part in line.split("&&")]
            found += [part for part in parts if part.startswith("mtf ")]
    return found


@pytest.mark.parametrize("line", shell_commands())
def test_every_command_in_the_documentation_parses(line: str) -> None:
    _, verb, *arguments = shlex.split(line)
    with click.Context(mtf) as group:
        command = mtf.get_command(group, verb)
        assert command is not None
        command.make_context(verb, arguments, parent=group, resilient_parsing=False)


def test_readme_has_the_two_commands_and_every_verb() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "pip install . && mtf run\n" in readme
    assert "pip install '.[test]' && pytest\n" in readme
    for verb in VERBS:
        assert f"| `mtf {verb}" in readme, f"README's table lacks mtf {verb}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def setting_rows() -> dict[str, object]:
    """Return the settings and defaults of the table in docs/recipes.md."""
    text = (ROOT / "docs" / "recipes.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z_.0-9]+)` \| `(.+?)` \|", text, re.MULTILINE)
    return {key: json.loads(default) for key, default in rows}


def test_the_settings_table_is_complete_and_true() -> None:
    defaults = json.loads(msgspec.json.encode(Recipe()))
    shared = {
        name
        for name in FitSettings.__struct_fields__
        if getattr(QatSettings(), name) == getattr(FitSettings(), name)
    }
    expected = {}
    for section, value in defaults.items():
        if not isinstance(value, dict):
            expected[section] = value
            continue
        for key, default in value.items():
            if section != "qat" or key not in shared:
                expected[f"{section}.{key}"] = default
    assert setting_rows() == expected


def test_every_shipped_recipe_is_named_in_readme_and_help() -> None:
    for text in ((ROOT / "README.md").read_text("utf-8"), run.command.help or ""):
        assert set(recipe_names()) <= set(re.findall(r"\w+", text))


def test_nothing_here_knows_the_machine_it_was_written_on() -> None:
    home = str(Path.home())
    for page in PAGES:
        text = page.read_text("utf-8")
        assert home not in text
        assert "@@" not in text, "a table of measurements is still to be filled in"
