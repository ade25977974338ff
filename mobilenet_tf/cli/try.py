"""`mtf try`: a model in the browser of this machine, at once."""

from __future__ import annotations

import contextlib
import webbrowser
from dataclasses import replace
from pathlib import Path

import click

from mobilenet_tf.cli.options import labels_option, model_argument
from mobilenet_tf.errors import MtfError
from mobilenet_tf.system import terminal


@click.command(short_help="Try a MODEL in the browser: camera, files, drop.")
@model_argument
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    help="Port on 127.0.0.1; 0 takes a free one.",
)
@labels_option
@click.option("--browser/--no-browser", default=True, help="Open the browser.")
def command(*, model: Path, port: int, labels: Path | None, browser: bool) -> None:
    """Serve the page of mtf app --for web on 127.0.0.1, for this machine alone; Ctrl-C ends it.

    MODEL is a .tflite file, the folder of a run, or the name of a model in mtf zoo. Images stay in
    the browser. Of a run there are validation images to click on that it got wrong, surest first.

    \b
    Example:
      mtf try cifar10_v1_050_r32
      mtf try artifacts/run --port 0 --no-browser
    """
    from mobilenet_tf.app.model import load_model
    from mobilenet_tf.app.project import build_trial
    from mobilenet_tf.app.server import make_server
    from mobilenet_tf.runs.examples import load_examples
    from mobilenet_tf.runs.folder import RunFolder
    from mobilenet_tf.zoo.shelf import find_tflite

    app_model, run = load_model(find_tflite(model), labels=labels), RunFolder(model)
    if run.has_recipe():
        app_model = replace(app_model, examples=load_examples(run.stage("export")))
    files = build_trial(app_model)
    try:
        server = make_server(files, port)
    except OSError as error:
        raise MtfError(
            f"port {port} cannot be used ({error.strerror}); choose another with --port, or 0"
        ) from error
    url = f"http://127.0.0.1:{server.server_port}/"
    terminal.echo(f"{url} (Ctrl-C ends it)")
    if browser:
        webbrowser.open(url)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
