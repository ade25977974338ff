"""`mtf doctor`: whether this machine and its Python are fit, and what to do where not."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenet_tf.cli.options import PATH, data_dir_option, json_option
from mobilenet_tf.errors import MtfError
from mobilenet_tf.system import terminal

STYLES = {"problem": "red", "warning": "yellow", "ok": ""}  # the worst first


@click.command(short_help="Check whether this machine is ready.")
@data_dir_option
@click.option(
    "--out",
    type=PATH,
    default=Path("artifacts"),
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
    problems = [check for check in checks if check.level == "problem"]
    fine = [check for check in checks if check.level == "ok"]
    if as_json:
        terminal.echo_json({"ok": not problems, "checks": checks})
    else:
        for check in sorted(checks, key=lambda check: list(STYLES).index(check.level)):
            if check.level != "ok" or everything:
                text = f"{check.level:<8} {check.name}: {check.detail}"
                terminal.echo(text, style=STYLES[check.level])
                if check.fix:
                    terminal.echo(f"{'':8} fix: {check.fix}")
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
