"""`mtf datasets`: the datasets, where each is, and downloading them ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobilenet_tf.cli.options import data_dir_option, json_option
from mobilenet_tf.system import terminal

if TYPE_CHECKING:
    from mobilenet_tf.data.catalog import DatasetInfo
    from mobilenet_tf.data.sources import DatasetStatus


class _PrepareGroup(click.Group):
    """Says what to type where the name of a dataset stands alone."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from mobilenet_tf.data.catalog import DATASETS

        if args[0] in DATASETS:
            raise click.UsageError(f"to get {args[0]}, type: mtf datasets prepare {args[0]}", ctx)
        if args[0] not in self.commands:
            raise click.UsageError(
                f"no command {args[0]!r}: `mtf datasets` alone lists them,"
                " `mtf datasets prepare NAME` gets one",
                ctx,
            )
        return super().resolve_command(ctx, args)


@click.group(
    cls=_PrepareGroup,
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
        terminal.echo(_format(found))


@command.command()
@click.argument("name")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
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
    return {
        "name": info.name,
        "description": info.description,
        "source": info.source,
        "image_shape": list(info.image_shape),
        "train_count": info.train_count,
        "test_count": info.test_count,
        "download_bytes": info.download_bytes,
        "ready": status.ready,
        "path": str(status.path) if status.path else None,
        "detail": status.detail,
        "classes": list(info.classes),
    }


def _format(found: list[tuple[DatasetInfo, DatasetStatus]]) -> str:
    from mobilenet_tf.report.tables import Column, format_table

    cells = [
        (
            info.name,
            str(info.class_count),
            f"{info.train_count:,}",
            f"{info.test_count:,}",
            "x".join(map(str, info.image_shape)),
            "ready" if status.ready else "not downloaded",
        )
        for info, status in found
    ]
    columns = [Column("dataset", align="left"), Column("classes"), Column("train"), Column("test")]
    columns += [Column("image"), Column("state", align="left")]
    lines = [format_table(columns, cells)]
    for info, status in found:
        lines += ["", f"{info.name}: {info.description}", f"  {terminal.escape(status.detail)}"]
    return "\n".join(lines)
