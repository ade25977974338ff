"""A diagnosis as tables, a sentence and a plot."""

from __future__ import annotations

from collections.abc import Sequence

from mobilenet_tf.debugging.findings import KeptFloat, ParityExplained
from mobilenet_tf.debugging.layers import LayerFidelity
from mobilenet_tf.report import plots
from mobilenet_tf.report.tables import Column, format_table
from mobilenet_tf.report.units import MISSING

COLUMNS = (
    Column("layer", align="left"),
    Column("effect on logits dB", "effect dB"),
    Column("own SNR dB", "own dB"),
    Column("accumulated SNR dB", "SNR dB"),
    Column("cosine"),
    Column("saturated %", "sat. %"),
    Column("range used %", "range %"),
    Column("largest error, steps", "steps"),
    Column("kernel spread", "kernel"),
    Column("output spread", "output"),
)


PARITY_COLUMNS = (
    Column("kernels", align="left"),
    Column("as the file does", "as the file", align="left"),
    Column("same top-1 %", "top-1 %"),
    Column("same outputs %", "outputs %"),
    Column("mean difference, steps", "mean steps"),
    Column("largest difference, steps", "largest"),
    Column("values that differed", "differed"),
)
NAMED_LAYERS = 3


def format_parity(parity: ParityExplained) -> str:
    """Return why the fake-quantized model and the file differ: a table, and the worst layers."""
    kernel_sets = (("XNNPACK", parity.xnnpack), ("reference", parity.reference))
    rows = [
        (
            "" if number else title,
            cause.name,
            f"{100 * cause.top1_agreement:.2f}",
            f"{100 * cause.same_outputs:.1f}",
            f"{cause.mean_difference_steps:.3f}",
            f"{cause.largest_difference_steps:.1f}",
            MISSING if cause.differing_values is None else f"{cause.differing_values:,}",
        )
        for title, found in kernel_sets
        for number, cause in enumerate(found.causes)
    ]
    lines = [
        f"Fake-quantized model against the file, {parity.count:,} images; the two kernel sets"
        f" agree on {100 * parity.between_kernels.top1_agreement:.2f} % of top-1:",
        format_table(PARITY_COLUMNS, rows),
    ]
    for title, found in kernel_sets:
        worst = ", ".join(
            f"{layer.name} ({100 * layer.differing_share:.3f} % of its values,"
            f" {layer.effect_steps:.3f} steps)"
            for layer in found.layers[:NAMED_LAYERS]
        )
        lines.append(f"{title}: the largest differences are in {worst}.")
    return "\n".join(lines)


def format_layers(layers: Sequence[LayerFidelity]) -> str:
    """Return the table for a terminal, in the order given."""
    rows = [
        (
            layer.name,
            *(_decimals(value, 1) for value in (layer.effect_db, layer.own_snr_db, layer.snr_db)),
            _decimals(layer.cosine, 4),
            f"{100 * layer.saturated_share:.2f}",
            f"{100 * layer.range_used_share:.0f}",
            f"{layer.largest_error_steps:.0f}",
            _ratio(layer.kernel_spread),
            _ratio(layer.output_spread),
        )
        for layer in layers
    ]
    return format_table(COLUMNS, rows)


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


def plot_layers(title: str, layers: Sequence[LayerFidelity], order: Sequence[str]) -> str:
    """Return a standalone SVG file: one line per layer, in the network's order, ratios in dB."""
    ratios = {layer.name: (layer.effect_db, layer.own_snr_db, layer.snr_db) for layer in layers}
    rows = [(name, ratios[name]) for name in order]
    return plots.plot_layers(title, rows, worst=layers[0].name if layers else "")


def _decimals(value: float | None, places: int) -> str:
    return MISSING if value is None else f"{value:.{places}f}"


def _ratio(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:,.0f}x" if value >= 10 else f"{value:.1f}x"
