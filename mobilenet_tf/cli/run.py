"""`mtf run`: the whole pipeline from a recipe."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from mobilenet_tf.cli import options
from mobilenet_tf.system import terminal


@click.command(short_help="Run the whole pipeline, as RECIPE says.")
@click.argument("recipe", default="quickstart")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Override a setting of the recipe; may be given several times.",
)
@options.out_option("artifacts/RECIPE")
@options.data_dir_option
@options.allow_changes_option
@options.overwrite_option
@options.json_option
@options.verbosity
def command(
    *,
    recipe: str,
    overrides: tuple[str, ...],
    out: Path | None,
    data_dir: Path | None,
    allow_changes: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train, quantize, export, benchmark and report, as RECIPE says.

    RECIPE is a .toml file or the name of one that ships: quickstart (the default: embedded
    images, nothing to download), cifar10 (MobileNetV1), cifar10_v2_050, cifar10_v2_100,
    cifar10_v3_small, cifar10_v3_large, cifar10_v4_small, cifar10_v4_enhanced, cifar10_alexnet,
    cifar100, cifar100_v1_010, cifar100_v2_010, cifar100_v2_050. Run it again after an
    interruption or a change: only what is missing or out of date is done.

    \b
    Example:
      mtf run
      mtf run cifar10 --set model.alpha=0.25 --out artifacts/cifar10_quarter
    """
    import msgspec

    from mobilenet_tf.pipeline.plan import Rerun, make_plan
    from mobilenet_tf.pipeline.runner import run_pipeline
    from mobilenet_tf.pipeline.stages import describe_run
    from mobilenet_tf.recipe import load_recipe
    from mobilenet_tf.report import format_stages
    from mobilenet_tf.runs.folder import RunFolder

    run = RunFolder(out or Path("artifacts") / Path(recipe).stem)
    plan = make_plan(run, load_recipe(recipe, overrides), data_dir=data_dir)
    words = ["mtf", "run", recipe, *(word for o in overrides for word in ("--set", o))]
    words += ["--out", str(run.path), *(("--data-dir", str(data_dir)) if data_dir else ())]
    words += ["--allow-changes"] if allow_changes else []
    with (
        options.resumable(lambda: shlex.join(words)),
        terminal.set_up(quiet=quiet, as_json=as_json),
        run.lock(plan.recipe),
    ):
        run_pipeline(plan, Rerun(overwrite=overwrite, allow_changes=allow_changes))
    record = describe_run(run, plan.recipe)
    if as_json:
        options.echo_json(msgspec.to_builtins(record))
    else:
        click.echo(f"\n{format_stages(record)}\n")
        click.echo(f"Report: {run.stage('report') / 'report.html'}")
