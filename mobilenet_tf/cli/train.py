"""`mtf train`: float training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mobilenet_tf.cli import options
from mobilenet_tf.cli.completion import complete_recipe
from mobilenet_tf.cli.settings import load_start_recipe, set_option, setting_options

RECIPES = "the recipe's"


@click.command(cls=options.Verb, short_help="Train a float network.")
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    help="Recipe to start from.  [default: the dataset's]",
    shell_complete=complete_recipe,
)
@setting_options("data", "name", "validation_count", fallback=RECIPES)
@setting_options("model", fallback=RECIPES)
@setting_options(
    "train",
    "epochs",
    "batch_size",
    "learning_rate",
    "optimizer",
    "schedule",
    "teacher",
    "precision",
    "weights",
    fallback=RECIPES,
)
@setting_options("", "seed", "deterministic", fallback=RECIPES)
@set_option
@options.out_option("artifacts/DATASET_VARIANT")
@options.work_options("data_dir", "resume", "allow_changes", "overwrite", "as_json", "quiet")
def command(
    *, recipe: str | None, out: Path | None, given: dict[str, Any], work: options.WorkOptions
) -> None:
    """Train a float network, and keep the epoch that is best on validation images.

    With --resume and --out, options left out are those that the run started with.

    \b
    Example:
      mtf train --dataset cifar10 --alpha 0.5 --epochs 30
      mtf train --model mobilenet_v4_conv_small --alpha 1.2 --activation silu
      mtf train --alpha 0.25 --teacher artifacts/cifar10_v1_100_r32
      mtf train --dataset cifar100 --weights cifar10 --epochs 10 --learning-rate 0.05
      mtf train --dataset digits --alpha 0.25 --out artifacts/digits
      mtf train --out artifacts/digits --resume
    """
    from mobilenet_tf.data.photographs import settle_source
    from mobilenet_tf.recipe import replace_settings
    from mobilenet_tf.runs.folder import RunFolder
    from mobilenet_tf.runs.names import default_run_name

    held = RunFolder(out) if out else None
    if work.resume and held and recipe is None and (not given or held.has_recipe()):
        start = held.load_recipe()
    else:
        start = load_start_recipe(recipe, given)
    settings = settle_source(replace_settings(start, given), work.data_dir)
    run = held or RunFolder(Path("artifacts") / default_run_name(settings))
    options.run_stage("train", run, settings, work, following=f"mtf qat {run.path}")
