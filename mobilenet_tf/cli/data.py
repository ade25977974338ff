"""`mtf data`: look at a dataset of your own before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mobilenet_tf.cli.options import PATH, FilePath, Group, SourcePath, json_option, verbosity
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.report.tables import format_table
from mobilenet_tf.system import terminal
from mobilenet_tf.system.terminal import escape

if TYPE_CHECKING:
    from mobilenet_tf.data.check import DataCheck, Finding

_NAMED = 5


class RepairNeededError(MtfError):
    """The dataset was checked, and something must be repaired."""


@click.group(cls=Group, short_help="Check a folder of your own images.")
def command() -> None:
    """Check a dataset of your own: a folder with one folder for each class, or a CSV file.

    \b
    Example:
      mtf data check flowers/
    """


@command.command()
@click.argument("folder", type=SourcePath())
@click.option(
    "--fix",
    is_flag=True,
    help="Move what must go to FOLDER-removed; nothing is deleted. Of a CSV file, write"
    " NAME.checked.csv instead.",
)
@click.option("--undo", is_flag=True, help="Move back what --fix has moved, and stop.")
@click.option(
    "--html",
    type=FilePath(),
    help="Write a page with thumbnails of what was found and of each class.",
)
@click.option(
    "--model",
    type=PATH,
    help="A finished run, or a .tflite file: also find labels that are probably wrong, by what it"
    " predicts for images that it was not trained on.",
)
@json_option
@verbosity
def check(
    *,
    folder: Path | str,
    fix: bool,
    undo: bool,
    html: Path | None,
    model: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Read every image of FOLDER, and say what is wrong and what to do about it.

    FOLDER holds one folder of images for each class, or train/, validation/ and test/ with those
    inside; or it is a CSV file (path,label[,split]), or s3:// or gs://BUCKET/FOLDER. Found are
    images that cannot be read, equal and similar ones, the same image under two labels or on both
    sides of a split, classes that are too small or uneven. The exit code is 1 while something must
    be repaired.

    \b
    Example:
      mtf data check flowers/ --html flowers.html
      mtf data check flowers/ --fix
      mtf data check flowers/ --model artifacts/flowers --html flowers.html
    """
    import msgspec

    from mobilenet_tf.data.bucket import settle_folder
    from mobilenet_tf.data.check import check_images
    from mobilenet_tf.data.folder import index_images
    from mobilenet_tf.data.repair import move_back
    from mobilenet_tf.data.survey import survey_images

    if isinstance(folder, str) and (fix or undo):
        raise UsageError(f"{folder} is repaired where it is: copy it here, repair, copy it back")
    with terminal.set_up(quiet=quiet, as_json=as_json):
        folder = settle_folder(folder)
    if undo:
        for source, target in move_back(folder):
            terminal.echo(escape(f"moved {source} back to {target}"))
        return
    with terminal.set_up(quiet=quiet, as_json=as_json):
        further = []
        if model is not None:
            from mobilenet_tf.pipeline.evaluation import doubt_labels

            further = doubt_labels(model, folder)
        survey = survey_images(index_images(folder))
        result = check_images(survey, further)
        if html is not None:
            from mobilenet_tf.files import write_text
            from mobilenet_tf.report.data_page import render_data_check

            write_text(html, render_data_check(result, survey))
    moved = _fix(folder, result) if fix else []
    if as_json:
        repair = {"must_be_repaired": result.must_be_repaired, "moved": moved}
        terminal.echo_json(msgspec.structs.asdict(result) | repair)
    else:
        terminal.echo_block(_format(result, folder, moved))
        if html is not None:
            terminal.echo(f"Page: {html}")
    left = [f for f in result.findings if f.severity == "error" and not (fix and f.removed)]
    if left:
        count = f"{len(left)} thing{'s' if len(left) > 1 else ''}"
        raise RepairNeededError(f"{count} must be repaired before {folder} is trained on")


def _fix(folder: Path, result: DataCheck) -> list[tuple[Path, Path]]:
    from mobilenet_tf.data.repair import move_out, write_clean_csv

    if not result.removed:
        return []
    if folder.is_dir():
        return move_out(folder, result.removed)
    return [(folder, write_clean_csv(folder, result.removed))]


def _format(result: DataCheck, folder: Path, moved: list[tuple[Path, Path]]) -> str:
    from mobilenet_tf.report.data_page import count_table

    table = count_table(result)
    sizes = [f"{w}x{h}" for w, h in (result.smallest_px, result.median_px, result.largest_px)]
    modes = ", ".join(f"{mode} {count:,}" for mode, count in result.modes.items())
    lines = [
        f"{escape(result.origin)}: {result.image_count:,} images of {len(result.classes)} classes",
        f"sizes: {sizes[0]} to {sizes[2]} px, median {sizes[1]}; modes: {modes or '-'}",
        "",
        format_table(table.columns, table.rows),
    ]
    for finding in result.findings:
        lines += ["", *map(escape, _format_finding(finding))]
    if not result.findings:
        lines += ["", "nothing to do"]
    done = "moved" if folder.is_dir() else "wrote, from"
    lines += [escape(f"{done} {source} to {target}") for source, target in moved]
    if moved and folder.is_dir():
        lines.append(escape(f"`mtf data check {folder} --undo` moves all of it back"))
    return "\n".join(lines)


def _format_finding(finding: Finding) -> list[str]:
    lines = [f"{finding.severity}: {finding.what}", f"  {finding.advice}"]
    for group, note in finding.list_groups(_NAMED):
        lines.append(f"    {'  =  '.join(group)}" + (f"  ({note})" if note else ""))
    more = len(finding.groups) - _NAMED
    return lines + ([f"    and {more:,} more (--json lists all)"] if more > 0 else [])
