"""Figures as text: sizes, latencies, differences, and the interval of an accuracy."""

from __future__ import annotations

import math

MISSING = "-"


def format_size(size_bytes: float) -> str:
    """Return a size as text with a decimal unit (1 KB = 1,000 bytes)."""
    if size_bytes < 999_950:
        return f"{size_bytes / 1e3:,.1f} KB"
    return f"{size_bytes / 1e6:,.2f} MB"


def format_ms(latency_ms: float) -> str:
    """Return a latency with three significant digits."""
    return f"{latency_ms:,.{ms_decimals(latency_ms)}f}"


def ms_decimals(latency_ms: float) -> int:
    """Return how many decimals show a latency to three significant digits."""
    return 3 if latency_ms < 1 else 2 if latency_ms < 10 else 1 if latency_ms < 100 else 0


def plural(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def signed(value: float | None, decimals: int = 2) -> str:
    """Return a difference with its sign; what rounds to zero has none."""
    if value is None:
        return MISSING
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text


def fixed(value: float | None, factor: float, decimals: int) -> str:
    """Return a scaled figure with thousands separators, a dash where it was not measured."""
    return MISSING if value is None else f"{value * factor:,.{decimals}f}"


def accuracy_interval(top1: float, count: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of an accuracy measured on `count` images.

    Both ends are shares. Source: Wilson, JASA 22 (1927), "Probable inference".
    """
    z = 1.959964
    centre = (top1 + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count)
    half *= math.sqrt(top1 * (1 - top1) / count + z * z / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)
