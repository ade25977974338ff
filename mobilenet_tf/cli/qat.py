"""`mtf qat`: quantization-aware training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mobilenet_tf.cli import options
from mobilenet_tf.cli.settings import setting_options
from mobilenet_tf.errors import UsageError

DISTILL_SHARE = 1.0  # of --distill, where the run's own qat.distill_share is 0


@click.command(cls=options.Verb, short_help="Fine-tune the network of RUN with fake quantization.")
@options.run_argument
@setting_options(
    "qat",
    "epochs",
    "batch_size",
    "learning_rate",
    "optimizer",
    "schedule",
    "calibration_count",
    fallback="the run's own",
)
@click.option(
    "--distill/--no-distill",
    default=None,
    help="Learn from the float network's probabilities, or from the labels alone."
    "  [default: as the run does]",
)
@setting_options("qat", "distill_temperature", fallback="the run's own")
@options.work_options("data_dir", "resume", "allow_changes", "overwrite", "as_json", "quiet")
def command(
    *, run: Path, distill: bool | None, given: dict[str, Any], work: options.WorkOptions
) -> None:
    """Fine-tune the network of RUN with fake quantization.

    RUN is the folder of a finished mtf train. Options left out are the run's own.

    \b
    Example:
      mtf qat artifacts/cifar10_v1_050_r32
      mtf qat artifacts/digits --epochs 3 --learning-rate 0.001
      mtf qat artifacts/digits --no-distill
    """
    from mobilenet_tf.runs.folder import RunFolder

    share = RunFolder(run).load_recipe().qat.distill_share
    if distill is not None:
        share = (share or DISTILL_SHARE) if distill else 0.0
        given["qat.distill_share"] = share
    if "qat.distill_temperature" in given and not share:
        raise UsageError("--temperature is for distillation; give --distill too")
    if given.get("qat.epochs") == 0:
        raise UsageError("--epochs 0 leaves nothing to do; give at least 1")
    options.run_verb("qat", run, given, work, following=f"mtf export-tflite {run}")
