"""`mtf report`: one page of proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mobilenet_tf.cli import options


@click.command(cls=options.Verb, short_help="Write the report of RUN: HTML, Markdown, JSON.")
@options.run_argument
@options.work_options("overwrite", "as_json")
def command(*, run: Path, given: dict[str, Any], work: options.WorkOptions) -> None:
    """Write report.html, report.md and report.json of RUN.

    RUN is the folder of a finished mtf benchmark; mtf run writes the report by itself.

    \b
    Example:
      mtf report artifacts/cifar10_v1_050_r32
    """
    options.run_verb("report", run, given, work, following=None)
