"""`mtf datasets`: the datasets, where each is, and downloading them ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobilenet_tf.cli.options import PATH, Group, data_dir_option, json_option
from mobilenet_tf.report.tables import text_table
from mobilenet_tf.system import terminal

if TYPE_CHECKING:
    from mobilenet_tf.data.catalog import DatasetInfo
    from mobilenet_tf.data.sources import DatasetStatus


@click.group(
    cls=Group,
    by_name="mtf datasets prepare",
    invoke_without_command=True,
    short_help="List the datasets, and where each is.",
)
@data_dir_option
@json_option
@click.pass_context
def command(ctx: click.Context, data_dir: Path | None, as_json: bool) -> None:
    """List the datasets: classes, images, and where each is or how to get it.

    \b
    Example:
      mtf datasets
      mtf datasets prepare cifar10
    """
    if ctx.invoked_subcommand is not None:
        return
    from mobilenet_tf.data.catalog import DATASETS
    from mobilenet_tf.data.sources import find_dataset

    found = [(info, find_dataset(name, data_dir)) for name, info in DATASETS.items()]
    if as_json:
        terminal.echo_json([_describe(info, status) for info, status in found])
    else:
        terminal.echo_block(_format(found))


@command.command()
@click.argument("name")
@click.option(
    "--data-dir",
    type=PATH,
    help="Folder to prepare it in.  [default: TFDS_DATA_DIR, else ~/tensorflow_datasets]",
)
@json_option
@click.pass_context
def prepare(ctx: click.Context, name: str, data_dir: Path | None, as_json: bool) -> None:
    """Download and prepare the dataset NAME ahead of time; nothing happens if it is there.

    \b
    Example:
      mtf datasets prepare cifar10 --data-dir /data/tfds
    """
    from mobilenet_tf.data.catalog import dataset_info
    from mobilenet_tf.data.sources import find_dataset, prepare_dataset

    before = ctx.parent.params if ctx.parent else {}  # options may stand before `prepare` as well
    data_dir = data_dir or before.get("data_dir")
    as_json = as_json or bool(before.get("as_json"))
    info = dataset_info(name)
    status = find_dataset(name, data_dir)
    if not status.ready:
        terminal.echo(
            f"downloading {name} ({info.download_bytes / 1e6:.0f} MB); it takes some minutes",
            err=True,
        )
        status = prepare_dataset(name, data_dir)
    if as_json:
        terminal.echo_json(_describe(info, status))
    else:
        terminal.echo(f"{name} is ready: {status.detail}")


def _describe(info: DatasetInfo, status: DatasetStatus) -> dict[str, Any]:
    told = ("name", "description", "source", "image_shape", "train_count", "test_count")
    return {
        **{key: getattr(info, key) for key in (*told, "download_bytes", "classes")},
        "ready": status.ready,
        "path": str(status.path) if status.path else None,
        "detail": status.detail,
    }


def _format(found: list[tuple[DatasetInfo, DatasetStatus]]) -> str:
    rows = [
        (
            *(info.name, info.class_count, info.train_count, info.test_count),
            "x".join(map(str, info.image_shape)),
            "ready" if status.ready else "not downloaded",
        )
        for info, status in found
    ]
    titles = {"dataset": "", "classes": "d", "train": ",", "test": ",", "image": ">", "state": ""}
    lines = [text_table(titles, rows)]
    for info, status in found:
        lines += ["", f"{info.name}: {info.description}", f"  {terminal.escape(status.detail)}"]
    return "\n".join(lines)
