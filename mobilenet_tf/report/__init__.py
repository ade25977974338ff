"""Typed results to tables, plots and a page; no TensorFlow."""

from __future__ import annotations

from mobilenet_tf.report.page import format_stages, render_comparison, write_report
from mobilenet_tf.report.summary import Summary, summarise
from mobilenet_tf.report.tables import Column, format_table

__all__ = [
    "Column", "Summary", "format_stages", "format_table", "render_comparison", "summarise",
    "write_report",
]  # fmt: skip
