"""`mtf doctor`: whether this machine and its Python are fit, and what to do where not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mobilenet_tf.cli.options import data_dir_option, echo_json, json_option
from mobilenet_tf.errors import MtfError

if TYPE_CHECKING:
    from mobilenet_tf.system.doctor import Check

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command(short_help="Check whether this machine is ready.")
@data_dir_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("artifacts"),
    show_default=True,
    help="Folder that runs will be written to.",
)
@json_option
def command(*, data_dir: Path | None, out: Path, as_json: bool) -> None:
    """Check the environment: versions that fit together, CPU, memory, disk and data.

    Each line is ok, a warning (it works, but worse than it could) or a problem, with its way
    out. The exit code is 1 when there is a problem.

    \b
    Example:
      mtf doctor
      mtf doctor --data-dir /data/tfds --json
    """
    from mobilenet_tf.system.doctor import examine

    checks = examine(data_dir, out)
    problems = sum(check.level == "problem" for check in checks)
    if as_json:
        echo_json({"ok": not problems, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            _echo(check)
        warnings = sum(check.level == "warning" for check in checks)
        click.echo(f"\n{_count(problems, 'problem')}, {_count(warnings, 'warning')}")
    if problems:
        raise MtfError(f"{_count(problems, 'problem')}: see the lines marked so, each has a fix")


def _echo(check: Check) -> None:
    level = click.style(f"{check.level:<8}", fg=_COLOURS[check.level])
    click.echo(f"{level} {check.name}: {check.detail}")
    if check.fix:
        click.echo(f"{'':8} -> {check.fix}")


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
