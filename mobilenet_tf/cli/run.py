"""`mtf run`: the whole pipeline from a recipe."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from mobilenet_tf.cli import options


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
    from mobilenet_tf.pipeline.runner import check_request, run_pipeline
    from mobilenet_tf.pipeline.stages import describe_run, summarise_run
    from mobilenet_tf.recipe import load_recipe
    from mobilenet_tf.runs.folder import RunFolder

    settings = load_recipe(recipe, overrides)
    run = RunFolder(out or Path("artifacts") / Path(recipe).stem)
    check_request(run, settings)
    echo = options.make_echo(as_json)
    words = ["mtf", "run", recipe, *(word for o in overrides for word in ("--set", o))]
    words += ["--out", str(run.path), *(("--data-dir", str(data_dir)) if data_dir else ())]
    words += ["--allow-changes"] if allow_changes else []
    with options.resumable(lambda: shlex.join(words)), run.lock(settings):
        done = run_pipeline(
            run,
            settings,
            data_dir=data_dir,
            allow_changes=allow_changes,
            overwrite=overwrite,
            echo=echo,
            progress=options.shows_progress(quiet),
        )
    if as_json:
        options.echo_json(describe_run(run, settings, done))
    else:
        click.echo(summarise_run(run, settings, done))
