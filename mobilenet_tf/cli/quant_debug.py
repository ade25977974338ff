"""`mtf quant-debug`: where accuracy goes in int8, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mobilenet_tf.cli import options
from mobilenet_tf.system import terminal

if TYPE_CHECKING:
    from mobilenet_tf.debugging.diagnosis import Diagnosis


@click.command(short_help="Say which layers of RUN lose accuracy in int8, and what to do.")
@options.run_argument
@click.option(
    "--quantization",
    type=click.Choice(["int8_qat", "int8_ptq"]),
    help="Which int8 file to look into.  [default: int8_qat, or int8_ptq without QAT]",
)
@click.option(
    "--images",
    type=click.IntRange(1, 1_000_000),
    default=200,
    help="Validation images (training ones where none are held out) to compare layers on.",
)
@click.option(
    "--keep-float",
    "kept",
    metavar="LAYER",
    multiple=True,
    help="Also write the file with this layer in float32, and say what it gives back and costs;"
    " may be given several times.",
)
@options.data_dir_option
@options.json_option
def command(
    *,
    run: Path,
    quantization: str | None,
    images: int,
    kept: tuple[str, ...],
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Compare the int8 file of RUN with its float network, layer by layer, the worst first.

    For int8_qat it also says why the file and the fake-quantized Keras model are not the same.

    RUN is the folder of a finished mtf export-tflite. Table, plot and any file with layers in
    float go to RUN/quant-debug/; the stages of the run stay as they are.

    \b
    Example:
      mtf quant-debug artifacts/cifar10_v1_050_r32
      mtf quant-debug artifacts/digits --keep-float conv1 --keep-float conv_dw_1
    """
    from mobilenet_tf.debugging.diagnosis import diagnose_run
    from mobilenet_tf.runs.folder import RunFolder
    from mobilenet_tf.runs.provenance import describe_command

    folder = RunFolder(run)
    recipe = folder.load_recipe()
    with terminal.set_up(as_json=as_json):
        with options.resumable(describe_command), folder.lock(recipe):
            found = diagnose_run(
                folder,
                recipe,
                quantization=quantization,
                count=images,
                kept_names=kept,
                data_dir=data_dir,
            )
        if as_json:
            terminal.echo_json(found)
        else:
            _echo(run, found)


def _echo(run: Path, found: Diagnosis) -> None:
    from mobilenet_tf.debugging.wording import format_cost, format_layers, format_parity

    terminal.echo_block(f"\n{found.advice}\n\n{format_layers(found.layers)}")
    if found.parity is not None:
        terminal.echo_block(f"\n{format_parity(found.parity)}")
    terminal.echo("")
    if found.keep_float is not None:
        terminal.echo_block(format_cost(found.keep_float, found.file_top1))
        terminal.echo(f"File: {run / found.keep_float.file}")
    terminal.echo(f"Plot: {run / 'quant-debug' / found.quantization}.svg")
