"""The verdict: does int8 lose accuracy, which layer costs most, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from mobilenet_tf.debugging.layers import LayerFidelity, QuantizedLayer

SMALL_DROP_POINTS = 0.5
HARMLESS_DB = 25.0  # an error of 1/18 of the logits changes hardly any image
SATURATED_SHARE = 0.01
WIDE_SPREAD = 50.0  # leaves the smallest channel about 5 of 256 steps
LITTLE_RANGE_SHARE = 0.4


def advise(
    ranked: Sequence[LayerFidelity],
    layers: Sequence[QuantizedLayer],
    *,
    float_top1: float,
    file_top1: float,
) -> str:
    """Return the verdict for layers ranked worst first; `layers` is the file's own order."""
    worst = ranked[0]
    drop = 100 * (float_top1 - file_top1)
    kept = "keeps the accuracy" if drop <= SMALL_DROP_POINTS else f"loses {drop:.2f} points"
    verdict = f"int8 {kept} (float {100 * float_top1:.2f} %, file {100 * file_top1:.2f} %)"
    if worst.effect_db is None:
        return f"{verdict}, but the float network gives no signal: train it before you quantize it."
    if worst.effect_db >= HARMLESS_DB and drop <= SMALL_DROP_POINTS:
        return (
            f"{verdict}, and no layer stands out: the largest effect, {worst.name}'s, is"
            f" {worst.effect_db:.0f} dB below the logits."
        )
    return f"{verdict}; {worst.name} costs most. {_explain(worst, layers)}"


def _explain(worst: LayerFidelity, layers: Sequence[QuantizedLayer]) -> str:
    readers = [layer.name for layer in layers if worst.output in layer.sources]
    options = " ".join(f"--keep-float {name}" for name in (worst.name, *readers))
    if worst.saturated_share >= SATURATED_SHARE:
        return (
            f"{100 * worst.saturated_share:.1f} % of its values lie outside its range: calibrate"
            " on more images (calibration_count), or let QAT follow the range for longer"
            f" (qat.freeze_ranges_share); {options} shows the gain."
        )
    if worst.rounding_share < 0.5:
        return (
            "Its kernel loses more than its output: more QAT epochs can help;"
            f" --keep-float {worst.name} shows the gain and the cost."
        )
    if worst.output_spread is not None and worst.output_spread >= WIDE_SPREAD:
        return (
            f"Its output channels differ {worst.output_spread:,.0f} times in range under one scale:"
            " move the difference into the next kernel, which has one scale per channel, or use"
            f" QAT; {options} shows the gain."
        )
    if worst.range_used_share <= LITTLE_RANGE_SHARE:
        return (
            f"It uses {100 * worst.range_used_share:.0f} % of the int8 range: rare images set"
            " it; calibrate on more typical ones, or let QAT follow the range for longer"
            f" (qat.freeze_ranges_share); {options} shows the gain."
        )
    return (
        f"The 256 steps of its output are too coarse: use QAT, or more epochs of it; {options}"
        " shows the gain and the cost."
    )
