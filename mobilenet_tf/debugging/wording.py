"""A diagnosis in words: the advice, and tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mobilenet_tf.debugging.alignment import QuantizedLayer
from mobilenet_tf.debugging.layers import LayerFidelity
from mobilenet_tf.report.tables import text_table

if TYPE_CHECKING:
    from mobilenet_tf.debugging.diagnosis import KeptFloat, ParityExplained

NAMED_LAYERS = 3
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


def format_layers(layers: Sequence[LayerFidelity]) -> str:
    """Return the table of the layers, in the order given: ratios in dB, errors in steps."""
    ratios = dict.fromkeys(("effect dB", "own dB", "SNR dB"), ".1f")
    shares = {"cosine": ".4f", "sat. %": ".2f", "range %": ".0f", "steps": ".0f"}
    rows = [
        (
            *(layer.name, layer.effect_db, layer.own_snr_db, layer.snr_db, layer.cosine),
            *(100 * layer.saturated_share, 100 * layer.range_used_share, layer.largest_error_steps),
            *map(_format_spread, (layer.kernel_spread, layer.output_spread)),
        )
        for layer in layers
    ]
    return text_table({"layer": "", **ratios, **shares, "kernel": ">", "output": ">"}, rows)


def format_parity(parity: ParityExplained) -> str:
    """Return why the fake-quantized model and the file differ: a table, and the worst layers."""
    kernel_sets = (("XNNPACK", parity.xnnpack), ("reference", parity.reference))
    titles = {"kernels": "", "as the file": "", "top-1 %": ".2f", "outputs %": ".1f"}
    titles |= {"mean steps": ".3f", "largest": ".1f", "differed": ","}
    rows = [
        (
            *("" if number else title, cause.name),
            *(100 * cause.top1_agreement, 100 * cause.same_outputs),
            *(cause.mean_difference_steps, cause.largest_difference_steps, cause.differing_values),
        )
        for title, found in kernel_sets
        for number, cause in enumerate(found.causes)
    ]
    lines = [
        f"Fake-quantized model against the file, {parity.count:,} images; the two kernel sets"
        f" agree on {100 * parity.between_kernels.top1_agreement:.2f} % of top-1:",
        text_table(titles, rows),
    ]
    for title, found in kernel_sets:
        worst = ", ".join(
            f"{layer.name} ({100 * layer.differing_share:.3f} % of its values,"
            f" {layer.effect_steps:.3f} steps)"
            for layer in found.layers[:NAMED_LAYERS]
        )
        lines.append(f"{title}: the largest differences are in {worst}.")
    return "\n".join(lines)


def format_cost(kept: KeptFloat, file_top1: float) -> str:
    """Return in a sentence what layers in float gain and cost."""
    gain = 100 * (kept.top1 - file_top1)
    share = 100 * kept.added_bytes / (kept.size_bytes - kept.added_bytes)
    slower = kept.latency_median_ms / kept.int8_latency_median_ms
    return (
        f"{', '.join(kept.layers)} in float: top-1 {100 * kept.top1:.2f} %"
        f" ({gain:+.2f} points), {kept.size_bytes:,} bytes ({kept.added_bytes:+,},"
        f" {share:+.0f} %), {kept.latency_median_ms:.3f} ms ({slower:.2f} times the int8 file's)"
    )


def _format_spread(value: float | None) -> str | None:
    return None if value is None else f"{value:,.0f}x" if value >= 10 else f"{value:.1f}x"
