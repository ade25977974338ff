"""`mtf teach`: a teacher's answers for a schedule, computed once for all students."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from mobilenet_tf.cli import options
from mobilenet_tf.cli.completion import complete_recipe, complete_run
from mobilenet_tf.cli.settings import format_given, load_start_recipe, set_option, setting_options
from mobilenet_tf.system import terminal

RECIPES = "the recipe's"


@click.command(cls=options.Verb, short_help="Store the answers of TEACHERs for students.")
@click.argument(
    "teachers", nargs=-1, required=True, metavar="TEACHER...", shell_complete=complete_run
)
@click.option("--out", type=options.FolderPath(), required=True, help="Folder of the answers.")
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    help="Recipe of the students.  [default: the dataset's]",
    shell_complete=complete_recipe,
)
@setting_options("data", "name", "validation_count", fallback=RECIPES)
@setting_options("train", "epochs", "batch_size", fallback=RECIPES)
@setting_options("", "seed", fallback=RECIPES)
@set_option
@options.work_options("data_dir", "quiet")
def command(
    *,
    teachers: tuple[str, ...],
    out: Path,
    recipe: str | None,
    given: dict[str, Any],
    work: options.WorkOptions,
) -> None:
    """Store the answers of trained networks for students.

    TEACHER is the folder of a finished mtf train, or a name of mtf zoo. Each answers in int8,
    calibrated like a file for an app, which is faster; the logits of several are averaged. The
    answers are for every image of every epoch as the recipe augments it, so that each student of
    the same data, seed, augmentation and epochs learns from them at no further cost. The same
    command continues where it was interrupted.

    \b
    Example:
      mtf teach cifar10_v1_100_r32 --out artifacts/answers --epochs 60
      mtf train --recipe cifar10 --epochs 60 --alpha 0.25 --teacher artifacts/answers
    """
    from mobilenet_tf.data.photographs import settle_source
    from mobilenet_tf.recipe import replace_settings
    from mobilenet_tf.runs.provenance import describe_command

    settings = replace_settings(load_start_recipe(recipe, given), given)
    settings = settle_source(settings, work.data_dir)
    with options.resumable(describe_command), terminal.set_up(quiet=work.quiet):
        from mobilenet_tf.pipeline.teaching import teach

        schedule = teach(teachers, settings, out, work.data_dir)
    size_bytes = schedule.epoch_bytes * schedule.epochs
    terminal.echo(f"{out}: the answers for {schedule.epochs} epochs, {size_bytes:,} bytes")
    terminal.echo(f"Next: {_student_command(out, recipe, given, work.data_dir)}")


def _student_command(
    answers: Path, recipe: str | None, given: dict[str, Any], data_dir: Path | None
) -> str:
    """Return the command that trains a student on the answers, with the settings given for them."""
    settings = {key: value for key, value in given.items() if key != "train.teacher"}
    words = ["mtf", "train"]
    words += ["--recipe", recipe] if recipe else []
    words += format_given(settings)
    words += ["--data-dir", str(data_dir)] if data_dir else []
    return shlex.join([*words, "--teacher", str(answers)])
