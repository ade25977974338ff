"""`mtf audit`: what a .tflite file holds, and whether it is in the expected format."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from mobilenet_tf.cli.completion import complete_zoo
from mobilenet_tf.cli.options import PATH, json_option
from mobilenet_tf.errors import MtfError
from mobilenet_tf.recipe import IO_TYPES, QUANTIZATIONS
from mobilenet_tf.system import terminal


@click.command(short_help="Show what a .tflite FILE holds, byte by byte.")
@click.argument("file", type=PATH, shell_complete=complete_zoo)
@click.option(
    "--quantization",
    type=click.Choice(QUANTIZATIONS),
    help="Check against the format of this quantization.  [default: what the file says it is]",
)
@click.option(
    "--io-type",
    type=click.Choice(IO_TYPES),
    help="Type of input and output of an int8 file.  [default: what the file says, else int8]",
)
@click.option(
    "--logits/--probabilities",
    default=None,
    help="What the output should be.  [default: what the file says, else probabilities]",
)
@json_option
def command(
    *,
    file: Path,
    quantization: str | None,
    io_type: str | None,
    logits: bool | None,
    as_json: bool,
) -> None:
    """Show what a .tflite FILE holds, and check it against the expected format.

    FILE can be the folder of a run, or the name of a model in mtf zoo.

    Ops, tensor types, input and output, and every byte by kind. The expected format comes from
    the file's metadata, or from the options for other files; without either nothing is checked.
    An int8 file, for one, has no float tensor inside and one scale a channel.
    The exit code is 1 when the file differs from the expected format.

    \b
    Example:
      mtf audit v1_050_r32_int8_qat.tflite
      mtf audit cifar10_v1_050_r32
      mtf audit downloaded.tflite --quantization int8_ptq --io-type uint8
    """
    from mobilenet_tf.report.audit import format_audit, format_contract, summarise_audit
    from mobilenet_tf.tflite.audit import audit
    from mobilenet_tf.tflite.contract import check_contract, choose_contract
    from mobilenet_tf.zoo.shelf import find_tflite

    file = find_tflite(file)
    found = audit(file)
    contract = choose_contract(found, str(file), quantization, io_type, logits)
    broken = check_contract(found, *msgspec.structs.astuple(contract)) if contract else []
    summary = summarise_audit(file, found, contract, broken)
    if as_json:
        terminal.echo_json(summary)
    else:
        terminal.echo_block(format_audit(summary, found))
        terminal.echo_block(format_contract(contract, broken), style="red" if broken else "")
    if broken:
        raise MtfError(f"{file} is not in the expected format; export it again")
