"""`mtf compare`: several runs in one table."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenet_tf.cli import options


@click.command(short_help="Show several runs in one table.")
@click.argument("runs", nargs=-1, required=True, type=options.FolderPath(), metavar="RUN...")
@click.option("--markdown", is_flag=True, help="As a Markdown table.")
@options.json_option
def command(runs: tuple[Path, ...], markdown: bool, as_json: bool) -> None:
    """Show model, cost, accuracy, size, latency and training time of several runs.

    Each RUN is the folder of a finished mtf benchmark; nothing is measured again.

    \b
    Example:
      mtf compare artifacts/cifar10 artifacts/cifar10_v2_050
      mtf compare artifacts/* --markdown
    """
    from mobilenet_tf.comparison import compare_runs, format_comparison
    from mobilenet_tf.run_folder import RunFolder

    rows = compare_runs([RunFolder(path) for path in runs])
    if as_json:
        options.echo_json(rows)
    else:
        click.echo(format_comparison(rows, markdown=markdown))
