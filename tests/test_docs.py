"""What the documentation says is what there is: commands, settings, rooms, links."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import msgspec
import pytest

from mobilenet_tf.cli.main import VERBS, mtf
from mobilenet_tf.recipe import Recipe, recipe_names

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
NOTEBOOK = sorted(page for page in (DOCS / "notebook").glob("*.md") if page.stem != "index")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
GENERATED = [page for page in PAGES if "[[[cog" in page.read_text("utf-8")]
README_WORDS = 700


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def shell_commands() -> list[str]:
    """Return every `mtf` command line in a shell block of the documentation, once."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            lines = re.sub(r"\\\n\s*", " ", block).splitlines()
            parts = [part.strip() for line in lines for part in line.split("&&")]
            found += [part for part in parts if part.startswith("mtf ")]
    return sorted(set(found))


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


def test_readme_is_for_two_minutes() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    text = re.sub(r"```.*?```|<!--.*?-->", "", text, flags=re.DOTALL)
    assert len(text.split()) <= README_WORDS


def test_every_verb_is_shown_at_work() -> None:
    used = {shlex.split(line)[1] for line in shell_commands()}
    assert used >= set(VERBS)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        target, _, anchor = link.partition("#")
        file = (page.parent / target) if target else page
        assert file.exists(), f"{page_id(page)} links to {link}"
        if anchor and file.suffix == ".md":
            assert anchor in headings(file), f"{page_id(page)} links to {link}"


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip()) for title in titles}


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=page_id)
def test_every_page_is_in_the_navigation(page: Path) -> None:
    listed = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert f": {page.relative_to(DOCS).as_posix()}\n" in listed


def test_generated_parts_are_up_to_date() -> None:
    command = [sys.executable, "-m", "cogapp", "--check", "-I", str(DOCS), *map(str, GENERATED)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"run cog -r -I docs FILE\n{done.stdout}{done.stderr}"


def test_the_settings_table_is_complete_and_true() -> None:
    text = (DOCS / "reference" / "settings.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z_.0-9]+)` \| `(.+?)` \|", text, re.MULTILINE))
    expected = {}
    for section, value in json.loads(msgspec.json.encode(Recipe())).items():
        if isinstance(value, dict):
            expected |= {f"{section}.{key}": default for key, default in value.items()}
        else:
            expected[section] = value
    assert {key: json.loads(default) for key, default in rows.items()} == expected


def test_every_shipped_recipe_is_listed() -> None:
    text = (DOCS / "reference" / "settings.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \| [A-Z]", text, re.MULTILINE)) >= set(recipe_names())


def test_contributing_lists_the_rooms_in_their_order() -> None:
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text("utf-8"))
    rooms = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ROOMS"
    )
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert tuple(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == rooms


@pytest.mark.parametrize("page", NOTEBOOK, ids=page_id)
def test_figures_come_from_a_command_and_a_commit(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.search(r"`(mtf|python benchmarks/\w+\.py|pip install) ", text)
    assert re.search(r"\bcommits? [0-9a-f]{7}\b", text)


def test_benchmarks_in_the_documentation_exist() -> None:
    named = {name for page in PAGES for name in re.findall(r"benchmarks/\w+\.py", page.read_text())}
    assert named
    assert all((ROOT / name).is_file() for name in named)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_nothing_here_knows_the_machine_it_was_written_on(page: Path) -> None:
    text = page.read_text("utf-8")
    assert str(Path.home()) not in text
    assert "@@" not in text, "a table of measurements is still to be filled in"
