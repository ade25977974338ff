"""Every verb of `mtf`, found by walking click's commands, and a line that gives it something."""

from __future__ import annotations

import json
import socketserver
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from mobilenet_tf.cli.main import mtf, run_command
from mobilenet_tf.files import hash_file

STAGES = ("train", "qat", "export", "benchmark", "report")
# Options for verbs that would otherwise begin long work of their own, or wait.
NEEDED = {"train": ("--weights",), "run": ("--weights",)}


def walk(
    command: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with its words; a group that does something by itself, too."""
    if not isinstance(command, click.Group) or (words and command.invoke_without_command):
        yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from walk(found, (*words, name))


VERBS = dict(walk(mtf))
TAKING = [
    words for words, c in VERBS.items() if any(isinstance(p, click.Argument) for p in c.params)
]


def give(words: tuple[str, ...], value: str) -> list[str]:
    """Return a line in which every argument, and every option that needs a value, is `value`."""
    line = list(words)
    for parameter in VERBS[words].params:
        if isinstance(parameter, click.Argument):
            line.append(value)
        elif parameter.required:
            choices = getattr(parameter.type, "choices", None)
            line += [parameter.opts[0], choices[0] if choices else value]
    for option in NEEDED.get(" ".join(words), ()):
        line += [option, value]
    return line


def seal(run: Path) -> None:
    """Make the digests of the stages agree again, as whoever forges a run would."""
    for number, stage in enumerate(STAGES):
        file = run / stage / "result.json"
        content = json.loads(file.read_text())
        if not isinstance(content.get("inputs"), dict):
            continue
        for before in STAGES[:number]:
            if before in content["inputs"]:
                content["inputs"][before] = hash_file(run / before / "result.json")
        file.write_text(json.dumps(content))


@pytest.fixture(autouse=True)
def _nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what would serve pages until it is interrupted end at once, and open no browser."""
    monkeypatch.setattr(socketserver.BaseServer, "serve_forever", lambda self: None)
    monkeypatch.setattr(webbrowser, "open", lambda url: True)


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return a function that runs `mtf` here and returns the one sentence that it is refused with.

    An exception that reaches it, as a traceback would be, fails the test.
    """
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, codes: tuple[int, ...] = (1, 2)) -> str:
        capsys.readouterr()
        code = run_command(list(arguments))
        error = capsys.readouterr().err
        assert code in codes, (arguments, code, error)
        if code:
            assert "Traceback" not in error, (arguments, error)
            assert error.strip(), arguments
        return error

    return run
