"""The row of a run in a comparison; a benchmark that is out of date is refused."""

from __future__ import annotations

from mobilenet_tf.errors import UsageError
from mobilenet_tf.pipeline.freshness import find_stale_input
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.pipeline.stages import describe_run, find_stage
from mobilenet_tf.report.comparison import ComparisonRow, make_row
from mobilenet_tf.report.page import HTML_FILE
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.results import BenchmarkMetrics, RunRecord, StageResult
from mobilenet_tf.zoo.shelf import load_card


def describe_benchmark(run: RunFolder) -> ComparisonRow:
    """Return the row of a run.

    Raises:
        UsageError: it is no run, or has no benchmark that is up to date.
        MtfError: a result is damaged, or of another version.
    """
    recipe = run.load_recipe()
    if not run.is_finished("benchmark"):
        raise UsageError(f"{run.path} has no benchmark yet; run mtf benchmark {run.path}")
    benchmark: StageResult[BenchmarkMetrics] = run.load_stage("benchmark", verify=False)
    plan = make_plan(run, recipe)
    stale = find_stale_input(find_stage("benchmark"), plan, benchmark)
    if stale:
        raise UsageError(
            f"the benchmark of {run.path} is out of date ({stale}); run mtf benchmark {run.path}"
        )
    page = run.stage("report") / HTML_FILE
    return make_row(describe_run(run, recipe), page.resolve() if page.is_file() else None)


def describe_model(name: str) -> ComparisonRow:
    """Return the row of a model of the zoo; UsageError where there is none of that name."""
    card = load_card(name)
    return make_row(RunRecord(name=card.name, recipe=card.recipe, stages=card.stages))
