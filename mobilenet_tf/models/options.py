"""What may be changed about a table without writing another: checked, or refused with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from mobilenet_tf.errors import UsageError, suggest
from mobilenet_tf.models.blocks import ModelTable
from mobilenet_tf.recipe import (
    ACTIVATIONS,
    HEAD_UNITS_MAX,
    SQUEEZE_EXCITATIONS,
    ActivationName,
)

INT8_NOTES = {  # what an option becomes in the int8 file; docs/quantization.md has what it costs
    "relu": "fused into the convolution",
    "relu6": "fused into the convolution",
    "silu": "LOGISTIC and MUL: 8 to 18 % slower than relu or relu6",
    "hard_swish": "ADD, MUL and MUL: 7 to 11 % slower (XNNPACK has no HARD_SWISH)",
    "squeeze_excitation": "MEAN, 2 CONV_2D and 2 MUL a block: 20 to 24 % slower",
}


@dataclass(frozen=True)
class Options:
    """Departures from the paper's table; the defaults are none.

    `squeeze_excitation` "on" puts it into every bottleneck with a depthwise convolution (arXiv
    1905.02244, section 5.3), "off" into none. `stochastic_depth` is the share of steps in which a
    sample would skip the last bottleneck, in proportion less for those before it (Huang 2016, arXiv
    1603.09382, equation 4); only those with a residual connection are skipped. `head_units` is the
    width of a hidden layer before the classes, 0 for none, and `head_dropout` the share of its
    outputs dropped in training. `block_count` keeps only the first blocks between stem and head, 0
    all of them: the "shallow" network of arXiv 1704.04861, table 5, but cut at the end.
    """

    activation: ActivationName = "paper"
    squeeze_excitation: str = "paper"
    stochastic_depth: float = 0.0
    head_units: int = 0
    head_dropout: float = 0.0
    block_count: int = 0

    @property
    def suffixes(self) -> Iterator[str]:
        """What they add to the name of a variant: those that change its shape or function."""
        if self.activation != "paper":
            yield self.activation.replace("_", "")
        if self.squeeze_excitation != "paper":
            yield "se" if self.squeeze_excitation == "on" else "nose"
        if self.head_units:
            yield f"h{self.head_units}"
        if self.block_count:
            yield f"b{self.block_count}"


PAPER = Options()


def check_options(table: ModelTable, options: Options) -> None:
    """Refuse what is out of range, and what the model cannot take.

    Raises:
        UsageError: with the option, its value, and the reason.
    """
    for name, value, known in (
        ("activation", options.activation, ACTIVATIONS),
        ("squeeze_excitation", options.squeeze_excitation, SQUEEZE_EXCITATIONS),
    ):
        if value not in known:
            raise UsageError(f"unknown {name} {value!r}; {suggest(str(value), known)}")
    check_share("stochastic_depth", options.stochastic_depth)
    check_share("head_dropout", options.head_dropout)
    check_count("head_units", options.head_units, HEAD_UNITS_MAX)
    asked = {
        "squeeze_excitation": options.squeeze_excitation == "on",
        "stochastic_depth": options.stochastic_depth > 0,
        "head_units": options.head_units > 0,
        "block_count": options.block_count != 0,
    }
    for name, wanted in asked.items():
        if wanted and name in table.cannot:
            raise UsageError(f"{table.name} cannot take {name}: {table.cannot[name]}")
    check_count("block_count", options.block_count, table.block_count, f" (all of {table.name})")
    if options.head_dropout and not options.head_units:
        raise UsageError(
            f"head_dropout {options.head_dropout:g} drops outputs of the hidden head layer, and"
            " head_units is 0; give head_units too, or use dropout"
        )


def check_count(name: str, value: Any, highest: int, what: str = "") -> None:
    """Refuse what is no whole number from 0 to `highest`."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or not 0 <= value <= highest:
        raise UsageError(f"{name} {value!r} is not a whole number from 0 to {highest}{what}")


def check_share(name: str, value: Any) -> None:
    """Refuse what is no share in [0, 1); NaN fails the comparison."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value < 1:
        raise UsageError(f"{name} {value!r} is not in [0, 1)")
