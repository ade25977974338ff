"""`mtf convert`: a `.tflite` file for another runtime."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenet_tf.cli.options import FilePath, json_option, model_argument
from mobilenet_tf.errors import UsageError
from mobilenet_tf.recipe import IO_TYPES
from mobilenet_tf.system import terminal


@click.command(short_help="Write an int8 MODEL for another runtime.")
@model_argument
@click.option(
    "--io-type",
    type=click.Choice(IO_TYPES),
    help="Type of input and output: int8 for LiteRT and microcontrollers, uint8 for MediaPipe,"
    " LiteRT.js and TensorFlowLiteSwift, float32 for GPUs in the browser.  [default: as it is]",
)
@click.option("--c-array", is_flag=True, help="Write a C header with the file as a constant.")
@click.option(
    "--out",
    type=FilePath(),
    help="File to write.  [default: MODEL's name with the type, in this folder]",
)
@click.option("--overwrite", is_flag=True, help="Replace the file of that name.")
@json_option
def command(
    *,
    model: Path,
    io_type: str | None,
    c_array: bool,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write an int8 MODEL with another type of input and output, for another runtime.

    MODEL is a file, the folder of a run, or the name of a model in mtf zoo. What lies between
    input and output stays, so that an image gets the same scores, byte for byte; classes and
    other metadata come along. Nothing is trained or converted again.

    \b
    Example:
      mtf convert cifar10_v1_050_r32 --io-type float32
      mtf convert artifacts/flowers --io-type uint8 --out model.tflite
      mtf convert cifar10_v1_028_r32_b8 --c-array --out model.h
    """
    from mobilenet_tf.files import write_bytes
    from mobilenet_tf.report.usage import RUNTIMES
    from mobilenet_tf.runs.names import edges_name
    from mobilenet_tf.tflite import schema
    from mobilenet_tf.tflite.c_array import format_c_array
    from mobilenet_tf.tflite.edges import convert_edges
    from mobilenet_tf.zoo.shelf import find_tflite

    if io_type is None and not c_array:
        raise UsageError("there is nothing to convert; give --io-type or --c-array")
    source = find_tflite(model)
    content, name = schema.read_content(source)
    target = out or Path(edges_name(source.name, io_type) if io_type else source.name)
    if c_array and out is None:
        target = target.with_suffix(".h")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists already; --overwrite replaces it, or use another --out")
    content = convert_edges(content, io_type, name) if io_type else content
    schema.find_regions(content, name)  # what is no model is no constant either
    written = format_c_array(content, target.stem).encode() if c_array else content
    write_bytes(target, written)
    if as_json:
        terminal.echo_json({"file": str(target), "size_bytes": len(written), "io_type": io_type})
        return
    terminal.echo(f"{target}  {len(written):,} bytes")
    if io_type and not c_array:
        terminal.echo(f"for {RUNTIMES[io_type]}")
