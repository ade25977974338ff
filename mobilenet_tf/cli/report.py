"""`mtf report`: one page of proof."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenet_tf.cli import options


@click.command(short_help="Write the report of RUN: HTML, Markdown, JSON.")
@options.run_argument
@options.overwrite_option
@options.json_option
def command(run: Path, overwrite: bool, as_json: bool) -> None:
    """Write report.html, report.md and report.json of RUN.

    RUN is the folder of a finished mtf benchmark; mtf run writes the report by itself.

    \b
    Example:
      mtf report artifacts/cifar10_v1_050_r32
    """
    options.run_verb(
        "report",
        run,
        [],
        data_dir=None,
        resume=False,
        overwrite=overwrite,
        as_json=as_json,
        quiet=True,
        following=None,
    )
