"""`mtf doctor`: whether this machine and its Python are fit, and what to do where not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mobilenet_tf.cli.options import data_dir_option, json_option
from mobilenet_tf.errors import MtfError
from mobilenet_tf.system import terminal

if TYPE_CHECKING:
    from mobilenet_tf.system.doctor import Check


@click.command(short_help="Check whether this machine is ready.")
@data_dir_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("artifacts"),
    show_default=True,
    help="Folder that runs will be written to.",
)
@click.option("--all", "everything", is_flag=True, help="Show what is fine, too.")
@json_option
def command(*, data_dir: Path | None, out: Path, everything: bool, as_json: bool) -> None:
    """Check the environment: versions that fit together, CPU, memory, disk and data.

    Problems come first, then warnings (it works, but worse than it could), each with how to fix it.
    The exit code is 1 when there is a problem.

    \b
    Example:
      mtf doctor
      mtf doctor --all --data-dir /data/tfds
    """
    from mobilenet_tf.data.sources import default_data_dir
    from mobilenet_tf.system.doctor import examine

    data_dir = data_dir or default_data_dir()
    checks = examine(list_datasets(data_dir), data_dir=data_dir, out=out)
    by_level = {
        level: [check for check in checks if check.level == level]
        for level in ("problem", "warning", "ok")
    }
    problems, fine = by_level["problem"], by_level["ok"]
    if as_json:
        terminal.echo_json({"ok": not problems, "checks": [asdict(check) for check in checks]})
    else:
        for check in (*problems, *by_level["warning"], *(fine if everything else ())):
            _echo(check)
        rest = "everything else is fine" if len(fine) < len(checks) else "everything is fine"
        terminal.echo(f"{rest} ({len(fine)} checks)", style="green")
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise MtfError(f"{count}: fix what is listed as a problem above")


def list_datasets(data_dir: Path | None) -> list[tuple[str, bool, str]]:
    """Return the datasets and their states, as the examination takes them."""
    from mobilenet_tf.data.catalog import DATASETS
    from mobilenet_tf.data.sources import find_dataset

    found = [find_dataset(name, data_dir) for name in DATASETS]
    return [(status.name, status.ready, status.detail) for status in found]


def _echo(check: Check) -> None:
    style = {"problem": "red", "warning": "yellow"}.get(check.level, "")
    terminal.echo(f"{check.level:<8} {check.name}: {check.detail}", style=style)
    if check.fix:
        terminal.echo(f"{'':8} fix: {check.fix}")
