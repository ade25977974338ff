"""`mtf compare`: several runs in one table."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenet_tf.cli import options


@click.command(short_help="Show several runs in one table.")
@click.argument("runs", nargs=-1, required=True, type=options.FolderPath(), metavar="RUN...")
@click.option("--markdown", is_flag=True, help="As a Markdown table.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write it as a page in the look of the report; an old FILE is replaced.",
)
@options.json_option
def command(runs: tuple[Path, ...], markdown: bool, html: Path | None, as_json: bool) -> None:
    """Show model, cost, accuracy, size, latency and training time of several runs.

    Each RUN is the folder of a finished mtf benchmark; nothing is measured again.

    \b
    Example:
      mtf compare artifacts/cifar10 artifacts/cifar10_v2_050
      mtf compare artifacts/cifar10* --markdown
      mtf compare artifacts/cifar10* --html comparison.html
    """
    import msgspec

    from mobilenet_tf.files import write_text
    from mobilenet_tf.pipeline.comparison import compare_runs
    from mobilenet_tf.report import format_table, render_comparison
    from mobilenet_tf.report.comparison import comparison_table
    from mobilenet_tf.runs.folder import RunFolder

    rows = compare_runs([RunFolder(path) for path in runs])
    table = comparison_table(rows)
    if html is not None:
        write_text(html, render_comparison(table))
    if as_json:
        options.echo_json(msgspec.to_builtins(rows))
    else:
        text = format_table(table.columns, table.rows, "markdown" if markdown else "text")
        click.echo(f"{text}\n\n{table.note}")
