"""`mtf qat`: quantization-aware training."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenet_tf.cli import options
from mobilenet_tf.errors import UsageError

DISTILL_SHARE = 0.5  # of --distill, where the run's own qat.distill_share is 0


@click.command(short_help="Fine-tune the network of RUN with fake quantization.")
@options.run_argument
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the training images.")
@click.option("--batch-size", type=int, help="Images a step.")
@click.option("--learning-rate", type=float, help="The highest of the schedule.")
@click.option("--optimizer", help="sgd (with Nesterov momentum) or adamw.")
@click.option("--schedule", help="one_cycle, cosine or step.")
@click.option("--calibration-count", type=int, help="Training images for the first ranges.")
@click.option(
    "--distill/--no-distill",
    default=None,
    help="Learn from the float network's probabilities too (half, unless the run says another"
    " share), or from the labels alone.",
)
@click.option("--temperature", type=float, help="What distillation divides the logits by.")
@options.data_dir_option
@options.resume_option
@options.allow_changes_option
@options.overwrite_option
@options.json_option
@options.verbosity
def command(
    *,
    run: Path,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    optimizer: str | None,
    schedule: str | None,
    calibration_count: int | None,
    distill: bool | None,
    temperature: float | None,
    data_dir: Path | None,
    resume: bool,
    allow_changes: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Fine-tune the network of RUN with fake quantization.

    RUN is the folder of a finished mtf train. Options left out are the run's own.

    \b
    Example:
      mtf qat artifacts/cifar10_v1_050_r32
      mtf qat artifacts/digits --epochs 3 --learning-rate 0.001
      mtf qat artifacts/digits --distill --temperature 4
    """
    from mobilenet_tf.runs.folder import RunFolder

    share = RunFolder(run).load_recipe().qat.distill_share
    if distill is not None:
        share = (share or DISTILL_SHARE) if distill else 0.0
    if temperature is not None and not share:
        raise UsageError(f"--temperature {temperature:g} is for distillation; give --distill too")
    values = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "optimizer": optimizer,
        "schedule": schedule,
        "calibration_count": calibration_count,
        "distill_share": None if distill is None else share,
        "distill_temperature": temperature,
    }
    options.run_verb(
        "qat",
        run,
        options.make_overrides("qat", values),
        data_dir=data_dir,
        resume=resume,
        allow_changes=allow_changes,
        overwrite=overwrite,
        as_json=as_json,
        quiet=quiet,
        following=f"mtf export-tflite {run}",
    )
