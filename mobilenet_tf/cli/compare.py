"""`mtf compare`: several runs in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mobilenet_tf.cli import options
from mobilenet_tf.cli.completion import complete_run
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.system import terminal


@click.command(short_help="Show several runs side by side.")
@click.argument(
    "runs",
    nargs=-1,
    required=True,
    type=options.FolderPath(),
    metavar="RUN...",
    shell_complete=complete_run,
)
@options.markdown_option
@click.option(
    "--html",
    type=options.FilePath(),
    metavar="FILE",
    help="Also write it as a page with plots; an old FILE is replaced.",
)
@options.json_option
def command(runs: tuple[Path, ...], markdown: bool, html: Path | None, as_json: bool) -> None:
    """Show model, cost, accuracy, size, latency and training time of several runs.

    Each RUN is the folder of a finished mtf benchmark, or a model of mtf zoo; others are left out
    with a warning. Nothing is measured again. The page plots accuracy against each cost.

    \b
    Example:
      mtf compare artifacts/cifar10 artifacts/cifar10_v2_050
      mtf compare artifacts/cifar10* --markdown
      mtf compare artifacts/cifar10* cifar10_v1_100_r32 --html comparison.html
    """
    from mobilenet_tf.files import write_text
    from mobilenet_tf.pipeline.comparison import describe_benchmark, describe_model
    from mobilenet_tf.report.comparison import comparison_table
    from mobilenet_tf.report.pareto import render_pareto
    from mobilenet_tf.report.tables import format_noted
    from mobilenet_tf.runs.folder import RunFolder
    from mobilenet_tf.zoo.shelf import model_names

    rows: list[Any] = []
    for path in runs:
        try:
            shipped = not path.exists() and str(path) in model_names()
            describe = describe_model(str(path)) if shipped else describe_benchmark(RunFolder(path))
            rows.append(describe)
        except MtfError as error:
            terminal.echo(f"left out: {error}", err=True)
    if not rows:
        raise UsageError("none of these runs can be compared; finish one with mtf benchmark")
    table = comparison_table(rows)
    if html is not None:
        write_text(html, render_pareto(table.title, rows, html))
    if as_json:
        terminal.echo_json(rows)
    else:
        terminal.echo_block(format_noted(table, "markdown" if markdown else "text"))
