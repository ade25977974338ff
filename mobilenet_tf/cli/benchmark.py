"""`mtf benchmark`: the final figures, on the test split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mobilenet_tf.cli import options
from mobilenet_tf.cli.settings import setting_options


@click.command(cls=options.Verb, short_help="Measure every model of RUN on test images.")
@options.run_argument
@setting_options("benchmark", fallback="the run's own")
@options.work_options("data_dir", "overwrite", "as_json", "quiet")
def command(*, run: Path, given: dict[str, Any], work: options.WorkOptions) -> None:
    """Measure accuracy, size, latency and memory of every model of RUN, on test images.

    RUN is the folder of a finished mtf export-tflite. Models are timed in turns: trust the
    ratios between rows more than a single figure.

    Test-time augmentation classifies each image several times; its accuracy stands beside the
    plain one, and it costs that many times the latency.

    \b
    Example:
      mtf benchmark artifacts/cifar10_v1_050_r32 --threads 2
      mtf benchmark artifacts/cifar10_v1_050_r32 --test-time-augmentation flip --overwrite
    """
    options.run_verb("benchmark", run, given, work, following=f"mtf report {run}")
