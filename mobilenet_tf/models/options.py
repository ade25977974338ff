"""What may be changed about a table without writing another: checked, or refused with a reason."""

from __future__ import annotations

from collections.abc import Iterator

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.blocks import ModelTable
from mobilenet_tf.recipe import Options, check_setting

__all__ = ["INT8_NOTES", "PAPER", "Options", "check_options", "list_suffixes"]

INT8_NOTES = {  # what an option becomes in the int8 file; docs/notebook/models.md has what it costs
    "relu": "fused into the convolution",
    "relu6": "fused into the convolution",
    "silu": "LOGISTIC and MUL: 8 to 18 % slower than relu or relu6",
    "hard_swish": "ADD, MUL and MUL: 7 to 11 % slower (XNNPACK has no HARD_SWISH)",
    "squeeze_excitation": "MEAN, 2 CONV_2D and 2 MUL a block: 20 to 24 % slower",
}


PAPER = Options()


def list_suffixes(options: Options) -> Iterator[str]:
    """Yield what options add to the name of a variant: those that change its shape or function."""
    if options.activation != "paper":
        yield options.activation.replace("_", "")
    if options.squeeze_excitation != "paper":
        yield "se" if options.squeeze_excitation == "on" else "nose"
    if options.head_units:
        yield f"h{options.head_units}"
    if options.block_count:
        yield f"b{options.block_count}"


def check_options(table: ModelTable, options: Options) -> None:
    """Refuse what is out of range, and what the model cannot take.

    Raises:
        UsageError: with the option, its value, and the reason.
    """
    for name in Options.__struct_fields__:
        value = check_setting(f"model.{name}", getattr(options, name))
        if name in table.cannot and value not in (getattr(PAPER, name), "off"):
            raise UsageError(f"{table.name} cannot take {name}: {table.cannot[name]}")
    if options.block_count > table.block_count:
        raise UsageError(
            f"model.block_count is {options.block_count}; {table.name} has {table.block_count}"
            " blocks, give at most that"
        )
    if options.head_dropout and not options.head_units:
        raise UsageError(
            f"model.head_dropout is {options.head_dropout:g}, which drops outputs of the hidden"
            " head layer, and model.head_units is 0; give head_units too, or use dropout"
        )
