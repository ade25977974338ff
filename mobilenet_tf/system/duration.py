"""Durations as people read them."""

from __future__ import annotations


def format_duration(seconds: float) -> str:
    """Return a duration as text: 41 s, 12 min 05 s, 2 h 03 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{min(seconds, 59):.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"
