"""The row of a run in a comparison; a benchmark that is out of date is refused."""

from __future__ import annotations

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.cost import count_costs
from mobilenet_tf.pipeline.freshness import find_stale_input
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.pipeline.stages import find_stage
from mobilenet_tf.report.comparison import ComparisonRow
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.results import BenchmarkMetrics, StageResult


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
    metrics, variant, cost = benchmark.metrics, plan.variant, count_costs(plan.variant)
    keras = metrics.find("keras", "float32")
    # Which file is shown is decided by its kind, never by its accuracy.
    int8 = metrics.find("tflite", "int8_qat", "int8_ptq")
    augmented = int8.test_time_augmentation if int8 else None
    fits = [
        run.load_stage(name, verify=False) for name in ("train", "qat") if name in benchmark.inputs
    ]
    return ComparisonRow(
        run=run.name,
        variant=variant.name,
        model=variant.table.name,
        alpha=variant.alpha,
        resolution_px=recipe.model.resolution_px,
        dataset=recipe.data.name,
        seed=recipe.seed,
        train_count=fits[0].metrics.train_count,
        parameters=cost.parameters,
        macs=cost.macs,
        float_top1=keras.top1 if keras else None,
        int8_top1=int8.top1 if int8 else None,
        int8_augmented_top1=augmented.top1 if augmented else None,
        int8_quantization=int8.quantization if int8 else None,
        int8_size_bytes=int8.size_bytes if int8 else None,
        int8_latency_median_ms=int8.latency_median_ms if int8 else None,
        threads=metrics.threads,
        test_count=metrics.test_count,
        training_time_s=round(sum(stage.wall_time_s for stage in fits), 1),
        machine=benchmark.machine,
    )
