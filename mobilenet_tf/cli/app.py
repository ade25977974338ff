"""`mtf app`: a project for the web, Android or iOS with a model inside."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenet_tf.cli.options import FolderPath, json_option, labels_option, model_argument
from mobilenet_tf.system import terminal


@click.command(short_help="Write a web, Android or iOS app around a MODEL.")
@model_argument
@click.option(
    "--for",
    "platform",
    type=click.Choice(["web", "android", "ios", "python", "all"]),
    required=True,
    help="What to write; `all` makes a folder for each.",
)
@click.option("--out", type=FolderPath(), help="Folder of the app.  [default: NAME-app]")
@click.option("--name", help="Name shown by the app.  [default: the model's]")
@click.option(
    "--package",
    default="com.example.classifier",
    help="Android package and iOS bundle.",
)
@labels_option
@click.option("--overwrite", is_flag=True, help="Replace files of the app that were edited, too.")
@json_option
def command(
    *,
    model: Path,
    platform: str,
    out: Path | None,
    name: str | None,
    package: str,
    labels: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write a project that opens, builds, and checks at start that it gives the model's answers.

    MODEL is a .tflite file, the folder of a run, or the name of a model in mtf zoo; a file with
    int8 edges gets uint8 ones, which every runtime takes. Written again, the app has the same
    bytes; a file that you edited is never replaced unasked.

    \b
    Example:
      mtf app artifacts/run --for web --out site
      mtf app cifar10_v1_050_r32 --for all --package org.example.pets
    """
    from mobilenet_tf.app.model import load_model
    from mobilenet_tf.app.project import build_app, parse_platforms, write_app
    from mobilenet_tf.zoo.shelf import find_tflite

    app_model = load_model(find_tflite(model), name=name, labels=labels)
    out = out or Path(f"{app_model.slug}-app")
    files = {
        f"{one}/{path}" if platform == "all" else path: content
        for one in parse_platforms(platform)
        for path, content in build_app(app_model, one, package).items()
    }
    changed = write_app(files, out, overwrite=overwrite)
    if as_json:
        terminal.echo_json(
            {
                "out": str(out),
                "sha256": app_model.sha256,
                "files": sorted(files),
                "changed": changed,
                "converted_from": app_model.own_type if app_model.own_type != "uint8" else None,
            }
        )
        return
    if app_model.own_type != "uint8":
        terminal.echo(
            f"{model} has {app_model.own_type} input and output; the app has it with uint8 ones,"
            " which every runtime takes: the same scores"
        )
    first = "the README.md of each" if platform == "all" else "README.md"
    terminal.echo(f"{out}: {len(files)} files, {changed} changed; begin with {first}")
    if platform in ("web", "all"):
        terminal.echo(f"try it: mtf try {model}")
