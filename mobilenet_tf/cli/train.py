"""`mtf train`: float training."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenet_tf.cli import options


@click.command(short_help="Train a float network.")
@click.option("--recipe", help="Recipe to start from.  [default: the one of the dataset]")
@click.option("--dataset", help="See mtf datasets.  [default: the recipe's, else cifar10]")
@click.option("--model", help="See mtf models.  [default: the recipe's]")
@click.option("--alpha", type=float, help="Width multiplier, in (0, 1.5].")
@click.option("--resolution", type=int, help="Side of the input in pixels.")
@click.option("--stride-plan", help="cifar keeps small images large; imagenet is the paper's.")
@click.option("--activation", help="relu, relu6, silu or hard_swish everywhere.")
@click.option("--squeeze-excitation", help="on: in every bottleneck that takes it; off: in none.")
@click.option("--stochastic-depth", type=float, help="Share of samples that skip the last block.")
@click.option("--head-units", type=int, help="Width of a hidden layer before the classes.")
@click.option("--block-count", type=int, help="Only the first so many blocks: a smaller file.")
@click.option("--validation", type=int, help="Training images held out; 0 trains on all.")
@click.option("--epochs", type=int, help="Passes over the training images.")
@click.option("--batch-size", type=int, help="Images a step.")
@click.option("--learning-rate", type=float, help="The highest of the schedule.")
@click.option("--optimizer", help="sgd (with Nesterov momentum) or adamw.")
@click.option("--schedule", help="one_cycle, cosine or step.")
@click.option("--teacher", metavar="RUN", help="Finished run that this one learns from, too.")
@click.option("--precision", help="float32, bfloat16, or auto: what is faster, layer by layer.")
@click.option("--weights", help="Start from: a name of mtf zoo, its data, a .safetensors file.")
@click.option("--seed", type=int, help="Of the held-out images, weights, order, augmentation.")
@click.option(
    "--deterministic",
    is_flag=True,
    default=None,
    help="Bit-equal weights for the same seed and machine; slower.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Any other setting of the recipe; may be given several times.",
)
@options.out_option("artifacts/DATASET_VARIANT")
@options.data_dir_option
@options.resume_option
@options.allow_changes_option
@options.overwrite_option
@options.json_option
@options.verbosity
def command(
    *,
    recipe: str | None,
    dataset: str | None,
    model: str | None,
    alpha: float | None,
    resolution: int | None,
    stride_plan: str | None,
    activation: str | None,
    squeeze_excitation: str | None,
    stochastic_depth: float | None,
    head_units: int | None,
    block_count: int | None,
    validation: int | None,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    optimizer: str | None,
    schedule: str | None,
    teacher: str | None,
    precision: str | None,
    weights: str | None,
    seed: int | None,
    deterministic: bool | None,
    overrides: tuple[str, ...],
    out: Path | None,
    data_dir: Path | None,
    resume: bool,
    allow_changes: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train a float network; the best epoch on validation images is kept.

    With --resume and --out, options left out are those that the run was begun with.

    \b
    Example:
      mtf train --dataset cifar10 --alpha 0.5 --epochs 30
      mtf train --model mobilenet_v4_conv_small --alpha 1.2 --activation silu
      mtf train --alpha 0.25 --teacher artifacts/cifar10_v1_100_r32
      mtf train --dataset cifar100 --weights cifar10 --epochs 10 --learning-rate 0.05
      mtf train --dataset digits --alpha 0.25 --out artifacts/digits
      mtf train --out artifacts/digits --resume
    """
    from mobilenet_tf.data.catalog import dataset_info
    from mobilenet_tf.pipeline.plan import Rerun, make_plan
    from mobilenet_tf.recipe import load_recipe
    from mobilenet_tf.runs.folder import RunFolder
    from mobilenet_tf.runs.names import default_run_name

    fit = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "optimizer": optimizer,
        "schedule": schedule,
        "teacher": teacher,
        "precision": precision,
        "weights": weights,
    }
    network = {
        "name": model,
        "alpha": alpha,
        "resolution_px": resolution,
        "stride_plan": stride_plan,
        "activation": activation,
        "squeeze_excitation": squeeze_excitation,
        "stochastic_depth": stochastic_depth,
        "head_units": head_units,
        "block_count": block_count,
    }
    given = [
        *options.make_overrides("", {"seed": seed, "deterministic": deterministic}),
        *options.make_overrides("data", {"name": dataset, "validation_count": validation}),
        *options.make_overrides("model", network),
        *options.make_overrides("train", fit),
        *overrides,
    ]
    if resume and out and recipe is None and (not given or RunFolder(out).has_recipe()):
        settings = RunFolder(out).load_recipe(tuple(given))
    else:
        settings = load_recipe(recipe or dataset_info(dataset or "cifar10").recipe, tuple(given))
    run = RunFolder(out or Path("artifacts") / default_run_name(settings))
    options.run_stage(
        "train",
        make_plan(run, settings, data_dir=data_dir),
        Rerun(resume, overwrite, allow_changes),
        as_json=as_json,
        quiet=quiet,
        following=f"mtf qat {run.path}",
    )
