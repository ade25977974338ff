"""The generated parts of README and docs: `cog -r -I docs *.md docs/reference/*.md`."""

from __future__ import annotations

import ast
from itertools import groupby
from pathlib import Path

import click

import mobilenet_tf
from mobilenet_tf.cli.main import VERBS, mtf
from mobilenet_tf.models.catalog import MODELS
from mobilenet_tf.recipe import Recipe, recipe_names

ROOT = Path(__file__).resolve().parent.parent
TITLES = {"": "Whole run", "qat": "QAT"}


def verb_table() -> str:
    """Return the commands with their one-line help."""
    lines = ["| command | what it does |", "|---|---|"]
    with click.Context(mtf) as context:
        for verb in VERBS:
            command = mtf.get_command(context, verb)
            assert command is not None
            lines.append(f"| `mtf {verb}` | {command.get_short_help_str(limit=120)} |")
    return "\n".join(lines)


def zoo_table() -> str:
    """Return the table of `mtf zoo --markdown`, without the note below it."""
    from click.testing import CliRunner

    result = CliRunner().invoke(mtf, ["zoo", "--markdown"], catch_exceptions=False)
    return "\n".join(line for line in result.output.splitlines() if line.startswith("|"))


def settings_tables(previous: str) -> str:
    """Return a table of settings for each section of a recipe."""
    from mobilenet_tf.recipe import all_settings, format_value

    lines = []
    for section, rows in groupby(all_settings().values(), lambda row: row.key.rpartition(".")[0]):
        title = TITLES.get(section, section.capitalize())
        lines += [f"## {title}", "", *section_summary(section)]
        lines += ["| setting | default | allowed | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{row.key}` | `{format_value(row.default)}` | {row.range} | {row.description} |"
            for row in rows
        ]
        lines.append("")
    return "\n".join(lines).rstrip()


def section_summary(section: str) -> list[str]:
    """Return the first line of a section's docstring, as a paragraph."""
    if not section:
        return []
    summary = (type(getattr(Recipe(), section)).__doc__ or "").splitlines()[0]
    return [summary, ""]


def recipe_table() -> str:
    """Return the recipes that ship, with the first line of their headers."""
    lines = ["| recipe | what it is |", "|---|---|"]
    for name in recipe_names():
        text = (ROOT / "pipelines" / f"{name}.toml").read_text("utf-8")
        header = text.split("\n#\n")[0].replace("\n#", "").lstrip("# ").rstrip(".")
        lines.append(f"| `{name}` | {header} |")
    return "\n".join(lines)


def model_table() -> str:
    """Return the models with their sources."""
    lines = ["| model | published as | source |", "|---|---|---|"]
    for table in MODELS.values():
        lines.append(f"| `{table.name}` | {table.title} | {table.source} |")
    return "\n".join(lines)


def front_door() -> str:
    """Return a mkdocstrings block for everything that `mobilenet_tf` exports."""
    tree = ast.parse(Path(mobilenet_tf.__file__).read_text("utf-8"))
    homes = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mobilenet_tf")
        for alias in node.names
    }
    names = [name for name in mobilenet_tf.__all__ if name in homes]
    return "\n\n".join(f"::: {homes[name]}" for name in names)


def room_table(descriptions: dict[str, str]) -> str:
    """Return the rooms of tests/test_architecture.py, in order, each with its description."""
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text("utf-8"))
    rooms = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ROOMS"
    )
    assert set(rooms) == set(descriptions), set(rooms) ^ set(descriptions)
    lines = ["| room | what it holds |", "|---|---|"]
    return "\n".join(lines + [f"| `{room}` | {descriptions[room]} |" for room in rooms])


def app_code(file: str, language: str) -> str:
    """Return code that calls a project of `mtf app`; the tests run or compile it."""
    from mobilenet_tf.report.templates import TEMPLATES

    code = (TEMPLATES / "code" / file).read_text("utf-8").strip()
    return f"```{language}\n{code}\n```"


def mediapipe_code(function: str) -> str:
    """Return a function of the benchmark that runs MediaPipe."""
    source = (ROOT / "benchmarks" / "mediapipe_worker.py").read_text("utf-8")
    named = (node for node in ast.parse(source).body if getattr(node, "name", "") == function)
    return f"```python\n{ast.get_source_segment(source, next(named))}\n```"
