"""The report stage: the results of the stages before it as report.md, report.json, report.html."""

from __future__ import annotations

from mobilenet_tf.pipeline.stages import Outcome, Work, describe_run
from mobilenet_tf.report.page import write_report
from mobilenet_tf.runs.results import ReportMetrics


def run(work: Work) -> Outcome[ReportMetrics]:
    """Write the report."""
    write_report(work.folder, describe_run(work.plan.run, work.plan.recipe))
    return Outcome(ReportMetrics())
