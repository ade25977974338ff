"""`mtf run`: the whole pipeline from a recipe."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobilenet_tf.cli import options
from mobilenet_tf.cli.completion import complete_recipe
from mobilenet_tf.cli.settings import format_given, set_option, setting_options
from mobilenet_tf.recipe import recipe_names
from mobilenet_tf.system import terminal

if TYPE_CHECKING:
    from mobilenet_tf.pipeline.plan import Plan


@click.command(cls=options.Verb, short_help="Run the whole pipeline, as RECIPE says.")
@click.argument("recipe", required=False, shell_complete=complete_recipe)
@setting_options("train", "weights", fallback="the recipe's")
@set_option
@options.out_option("artifacts/RECIPE")
@options.work_options("data_dir", "allow_changes", "overwrite", "as_json", "quiet")
def command(
    *, recipe: str | None, out: Path | None, given: dict[str, Any], work: options.WorkOptions
) -> None:
    """Train, quantize, export, benchmark and report, as RECIPE says or with images of your own.

    RECIPE is a .toml file or the name of one that ships: RECIPES. The default is quickstart, with
    embedded images and nothing to download. Run it again after an interruption or a change: only
    what is missing or out of date is done.

    RECIPE may also be a folder with one folder of images for each class, or with train/,
    validation/ and test/ that hold those; a CSV file (path,label[,split]);
    s3://BUCKET/FOLDER or gs://BUCKET/FOLDER, which is copied once; or tfds:NAME, an
    image-classification set of tensorflow-datasets. Training starts from ImageNet's weights where
    they can be had; batches and epochs follow the number of images (recipes: transfer, and folder
    from scratch).

    \b
    Example:
      mtf run
      mtf run cifar10 --set model.alpha=0.25 --out artifacts/cifar10_quarter
      mtf run flowers/
      mtf run flowers/ --weights mobilenet_2_5_224_tf_no_top.h5
      mtf run s3://bucket/flowers
      mtf run tfds:oxford_flowers102
    """
    from mobilenet_tf.data.photographs import is_source, name_source, open_source
    from mobilenet_tf.pipeline.own_images import start_recipe
    from mobilenet_tf.pipeline.plan import Rerun, make_plan
    from mobilenet_tf.pipeline.runner import run_pipeline
    from mobilenet_tf.pipeline.together import joined
    from mobilenet_tf.recipe import load_recipe, replace_settings
    from mobilenet_tf.runs.folder import RunFolder
    from mobilenet_tf.system.cluster import find_place

    if recipe is None:
        recipe = str(given.get("data.path", "quickstart"))
    own = is_source(recipe) and not RunFolder(Path(recipe)).has_recipe()
    with terminal.set_up(quiet=work.quiet, as_json=work.as_json):  # it may download images, weights
        path = str(open_source(recipe, work.data_dir)) if own else given.get("data.path")
        name = name_source(Path(path)) if path else Path(recipe).stem
        run = RunFolder(out or Path("artifacts") / name)
    with joined(run) as run:
        with terminal.set_up(quiet=work.quiet, as_json=work.as_json):  # it may download weights
            if own and path:
                settings = start_recipe(Path(path), given, run)
            else:
                settings = replace_settings(load_recipe(recipe), given)
            plan = make_plan(run, settings, data_dir=work.data_dir)
        again = ["mtf", "run", recipe]
        again += format_given(given)
        again += ["--out", str(run.path)]
        again += ["--data-dir", str(work.data_dir)] if work.data_dir else []
        again += ["--allow-changes"] if work.allow_changes else []
        with options.working(run, plan.recipe, work, lambda: shlex.join(again)):
            run_pipeline(plan, Rerun(overwrite=work.overwrite, allow_changes=work.allow_changes))
        if find_place().index == 0:
            _echo(plan, work.as_json)


def _echo(plan: Plan, as_json: bool) -> None:
    """Print what a finished run ends with: the table, where things are, what comes next."""
    from mobilenet_tf.pipeline.stages import describe_run
    from mobilenet_tf.report.page import HTML_FILE
    from mobilenet_tf.report.usage import RUNTIMES

    record = describe_run(plan.run, plan.recipe)
    if as_json:
        terminal.echo_json(record)
        return
    assert record.stages.export is not None  # noqa: S101  # a finished run has all stages
    best, folder = record.stages.export.metrics.best, plan.run.stage("export")
    options.echo_figures(plan)
    for file in (best, *best.twins):
        terminal.echo(str(folder / file.file))
        terminal.echo(f"    for {RUNTIMES[file.io_type]}")
    terminal.echo(f"Report: {plan.run.stage('report') / HTML_FILE}")
    run = shlex.quote(str(plan.run.path))
    terminal.echo(f"Try it: mtf try {run}")
    terminal.echo(f"An app: mtf app {run} --for all")


command.help = (command.help or "").replace("RECIPES", ", ".join(recipe_names()))
