from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from mobilenet_tf.cli.main import VERBS, mtf, run_command
from mobilenet_tf.errors import suggest

HEAVY = (
    "tensorflow",
    "tf_keras",
    "keras",
    "tensorflow_datasets",
    "tensorflow_model_optimization",
    "ai_edge_litert",
    "sklearn",
    "scipy",
    "matplotlib",
    "pandas",
    "numpy",
    "PIL",
)


def list_commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command by the words that one types."""
    context = click.Context(mtf)
    for verb in VERBS:
        command = mtf.get_command(context, verb)
        assert command is not None
        yield verb, command
        for name, inner in getattr(command, "commands", {}).items():
            yield f"{verb} {name}", inner


COMMANDS = dict(list_commands())


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_help_with_an_example(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*words.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert "Example:" in text
    assert re.search(rf"^ +mtf {words}", text, re.MULTILINE), "the example does not show it"
    assert (COMMANDS[words].help or "").strip().split("\n")[0].endswith(".")


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_is_described(words: str) -> None:
    for parameter in COMMANDS[words].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{words} {parameter.opts[0]} has no description"


@pytest.mark.parametrize("words", COMMANDS)
def test_arguments_are_explained_in_the_text(words: str) -> None:
    command = COMMANDS[words]
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            name = parameter.make_metavar(click.Context(command)).strip("[].")
            said = "images" if name == "IMAGE" else name
            assert said in (command.help or ""), f"{words}: {name} is not explained"


def test_the_group_lists_every_verb_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in VERBS:
        assert re.search(rf"^  {verb} +\w.{{15,}}", text, re.MULTILINE), verb


def test_the_promised_options_are_there() -> None:
    wanted = "--model --alpha --resolution --dataset --epochs --batch-size --learning-rate"
    wanted += " --optimizer --seed --resume --out --validation --data-dir"
    have = {option for parameter in COMMANDS["train"].params for option in parameter.opts}
    assert set(wanted.split()) <= have
    for verb in ("run", "train", "qat", "export-tflite", "benchmark", "predict", "models"):
        options = {option for parameter in COMMANDS[verb].params for option in parameter.opts}
        assert "--json" in options, verb


def test_a_mistyped_verb_or_option_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["trian"]) == 2
    assert "did you mean 'train'" in capsys.readouterr().err
    assert run_command(["train", "--aplha", "1"]) == 2
    assert "--alpha" in capsys.readouterr().err
    assert "known: a, b" in suggest("zzz", ["b", "a"])
    assert "did you mean 'net_v3_small'" in suggest("net_v3", ["net_v1", "net_v3_small"])


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    from mobilenet_tf import __version__

    assert run_command(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["models"], ["models", "--json"]]
)
def test_what_answers_at_once_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from mobilenet_tf.cli.main import run_command;"
        f" code = run_command({arguments!r});"
        " print('loaded', *sorted(sys.modules), file=sys.stderr);"
        " sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    loaded = {name.partition(".")[0] for name in done.stderr.split("loaded ", 1)[1].split()}
    assert loaded.isdisjoint(HEAVY)


def test_a_listing_that_is_cut_short_is_no_error() -> None:
    code = "from mobilenet_tf.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "models", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
