from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import click
import msgspec
import pytest
from click.shell_completion import ShellComplete

from mobilenet_tf.cli import settings as cli_settings
from mobilenet_tf.cli.main import VERBS, mtf, run_command
from mobilenet_tf.cli.options import Verb, WorkOptions
from mobilenet_tf.errors import nearest
from mobilenet_tf.recipe import all_settings
from mobilenet_tf.recipe import settings as recipe_settings
from mobilenet_tf.recipe.settings import list_settings
from mobilenet_tf.zoo import shelf

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


def list_examples() -> list[str]:
    texts = [command.help or "" for command in COMMANDS.values()]
    return [line for text in texts for line in re.findall(r"^ +(mtf .+)$", text, re.MULTILINE)]


@pytest.mark.parametrize("example", list_examples())
def test_every_example_of_the_help_can_be_typed(example: str) -> None:
    command, words = mtf, shlex.split(example)
    context = click.Context(mtf, info_name="mtf")
    while words := words[1:]:
        if not isinstance(command, click.Group) or words[0] not in command.list_commands(context):
            break
        command = command.get_command(context, words[0])
        context = click.Context(command, parent=context, info_name=words[0])
    command.make_context(command.name, words)  # raises where an option or argument is wrong


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


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["trian"], "train"),
        (["train", "--aplha", "1"], "--alpha"),
        (["train", "--lr", "1"], "--learning-rate"),
        (["run", "--sett", "a=1"], "--set"),
        (["run", "cifar"], "cifar10"),
        (["run", "--set", "epochs=3"], "train.epochs"),
        (["train", "--model", "mobilenetv3"], "mobilenet_v3_small"),
        (["train", "--recipe", "cifar"], "cifar10"),
        (["train", "--optimizer", "sdg"], "sgd"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_nearest(
    arguments: list[str], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(arguments) == 2
    assert f"did you mean '{near}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "choices", "near"),
    [
        ("zzz", ["b", "a"], None),
        ("net_v3", ["net_v1", "net_v3_small"], "net_v3_small"),
        ("cifar10_v1_50", list(shelf.model_names()), "cifar10_v1_050_r32"),
        ("", ["a"], None),
    ],
)
def test_the_nearest_is_close_or_none(name: str, choices: list[str], near: str | None) -> None:
    assert nearest(name, choices) == near


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_that_takes_a_value_shows_its_default(words: str) -> None:
    if words not in ("train", "qat", "export-tflite", "benchmark"):
        return
    for parameter in COMMANDS[words].params:
        if isinstance(parameter, click.Option) and not parameter.is_flag and not parameter.multiple:
            assert "default: " in (parameter.help or ""), parameter.name


def test_a_new_setting_is_an_option_and_a_row_of_the_table(monkeypatch) -> None:
    class Toy(msgspec.Struct, frozen=True, kw_only=True):
        width: Annotated[int, msgspec.Meta(ge=1, le=9)] = 4
        """Width of the toy."""
        colour: Literal["red", "blue"] = "red"
        """Colour of the toy."""

    added = {setting.key: setting for setting in list_settings(Toy, "toy.")}
    everything = {**all_settings(), **added}
    for module in (recipe_settings, cli_settings):
        monkeypatch.setattr(module, "all_settings", lambda: everything)
    seen: list[dict[str, object]] = []

    @click.command(cls=Verb)
    @cli_settings.setting_options("toy", fallback="the toy's own")
    def play(*, given: dict[str, object], work: WorkOptions) -> None:
        seen.append(given)

    play.main(["--width", "7"], standalone_mode=False)
    play.main([], standalone_mode=False)
    assert seen == [{"toy.width": 7}, {}]
    text = play.get_help(click.Context(play))
    for words in ("--width INTEGER", "Width of the toy.", "from 1 to 9", "the toy's own, else 4"):
        assert words in re.sub(r"\s+", " ", text)
    for bad in (["--width", "10"], ["--width", "0"], ["--width", "x"], ["--colour", "green"]):
        with pytest.raises(click.UsageError):
            play.main(bad, standalone_mode=False)
    width = added["toy.width"]
    assert (width.default, width.range) == (4, "a whole number from 1 to 9")
    assert width.description == "Width of the toy."


def complete(*words: str) -> list[str]:
    *args, incomplete = words
    shell = ShellComplete(mtf, {}, "mtf", "_MTF_COMPLETE")
    return [item.value for item in shell.get_completions(args, incomplete)]


@pytest.mark.parametrize(
    "words", ["app", "audit", "convert", "evaluate", "predict", "try", "zoo show", "zoo verify"]
)
def test_models_of_the_zoo_are_completed(words: str) -> None:
    assert "cifar10_v1_050_r32" in complete(*words.split(), "cifar10_v1")


def test_values_are_completed(tmp_path: Path, monkeypatch) -> None:
    assert complete("tra") == ["train"]
    assert "cifar100" in complete("train", "--dataset", "cif")
    assert set(complete("train", "--optimizer", "")) == {"sgd", "adamw"}
    assert "mobilenet_v3_small" in complete("train", "--model", "mobilenet_v3")
    assert "cifar10_v1_050_r32" in complete("train", "--weights", "cifar10_v1")
    assert complete("run", "quick") == ["quickstart"]
    assert complete("run", "--set", "train.ep") == ["train.epochs="]
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / "artifacts" / name).mkdir(parents=True)
        (tmp_path / "artifacts" / name / "recipe.json").touch()
    assert complete("qat", "artifacts/o") == ["artifacts/one"]


@pytest.mark.parametrize("words", [[], ["data"]])
def test_a_group_without_a_command_shows_its_help(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*words, "--help"]) == 0
    text = capsys.readouterr().out
    run_command(words)
    said = capsys.readouterr()
    assert (said.out + said.err).strip() == text.strip()


def test_a_missing_choice_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["app", "cifar10_v1_050_r32"]) == 2
    assert "web, android, ios" in capsys.readouterr().err


@pytest.mark.parametrize("words", COMMANDS)
def test_no_number_is_nan(words: str) -> None:
    for option in COMMANDS[words].params:
        if isinstance(option.type, click.FloatRange):
            with pytest.raises(click.BadParameter):
                option.type.convert("nan", option, None)


@pytest.mark.parametrize(
    "words",
    ["convert model --out", "compare run --html", "evaluate model --html", "data check . --html"],
)
def test_an_empty_name_of_a_file_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([*words.split(), ""]) == 2
    assert "it is empty" in capsys.readouterr().err


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
