"""Typed results to tables, plots and a page; no TensorFlow."""

from __future__ import annotations

from mobilenet_tf.report.page import format_stages, render_comparison, write_report
from mobilenet_tf.report.summary import Artifact, Summary, summarise
from mobilenet_tf.report.tables import Column, Table, format_table, stage_table
from mobilenet_tf.report.verdict import Verdict

__all__ = [
    "Artifact",
    "Column",
    "Summary",
    "Table",
    "Verdict",
    "format_stages",
    "format_table",
    "render_comparison",
    "stage_table",
    "summarise",
    "write_report",
]
