"""A run as the report shows it: its models and files compared, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass

from mobilenet_tf.recipe import Quantization
from mobilenet_tf.report.verdict import Verdict, judge
from mobilenet_tf.runs.results import BenchmarkMetrics, BenchmarkRow, RunRecord

QUANTIZATION_LABELS: dict[Quantization, str] = {
    "float32": "float32",
    "float16": "float16",
    "dynamic_range": "dynamic range",
    "int8_ptq": "int8 PTQ",
    "int8_qat": "int8 QAT",
}

NO_BENCHMARK = BenchmarkMetrics(rows=(), classes=(), test_count=0, threads=0)


@dataclass(frozen=True)
class Artifact:
    """A benchmarked model or file and how it compares with the float model and its file."""

    label: str
    row: BenchmarkRow
    delta_points: float | None
    size_share: float | None


@dataclass(frozen=True)
class Summary:
    """A run and what follows from it; `reference` is the float model, `headline` the int8 file."""

    record: RunRecord
    artifacts: tuple[Artifact, ...]
    reference: Artifact | None
    float_file: Artifact | None
    headline: Artifact | None
    verdict: Verdict

    @property
    def benchmark(self) -> BenchmarkMetrics | None:
        """What was measured on the test images, None if nothing was."""
        stage = self.record.stages.benchmark
        return stage.metrics if stage else None

    @property
    def classes(self) -> tuple[str, ...]:
        """A name for every class, "class 7" where the results hold none."""
        known, best = self.benchmark.classes if self.benchmark else (), self.best_artifact
        count = len(best.row.confusion) if best else len(known)
        return (*known[:count], *(f"class {i}" for i in range(len(known), count)))

    @property
    def best_artifact(self) -> Artifact | None:
        """The artifact whose mistakes are worth showing: the int8 file, else the float model."""
        return self.headline or self.reference or next(iter(self.artifacts), None)


def summarise(record: RunRecord) -> Summary:
    """Return the comparison of a run's models and files, and the verdict on the int8 file.

    Stages may be missing; the verdict then says which figures are.
    """
    stage = record.stages.benchmark
    benchmark = stage.metrics if stage else NO_BENCHMARK
    float_file = benchmark.find("tflite", "float32")
    reference = benchmark.find("keras", "float32") or float_file
    int8 = benchmark.int8
    artifacts = [_compare(row, reference, float_file or reference) for row in benchmark.rows]

    def find(row: BenchmarkRow | None) -> Artifact | None:
        return next((artifact for artifact in artifacts if artifact.row is row), None)

    headline = find(int8)
    if stage is None:
        verdict = _no_benchmark(record)
    elif headline is None or reference is None:
        verdict = Verdict(
            "unknown",
            f"Not comparable: the benchmark has no {'float model' if headline else 'int8 file'}.",
            "The verdict compares an int8 file with the float model of the same run.",
        )
    else:
        verdict = judge(headline.row, reference, benchmark, headline.size_share)
    return Summary(
        record=record,
        artifacts=tuple(artifacts),
        reference=find(reference),
        float_file=find(float_file),
        headline=headline,
        verdict=verdict,
    )


def _compare(
    row: BenchmarkRow, reference: BenchmarkRow | None, float_file: BenchmarkRow | None
) -> Artifact:
    label = QUANTIZATION_LABELS[row.quantization]
    if row.format == "keras":
        label = "Keras QAT" if row.stage == "qat" else f"Keras {label}"
    # 6: rids it of binary noise
    delta = round(100 * (row.top1 - reference.top1), 6) if reference else None
    sized = float_file is not None and float_file.size_bytes
    return Artifact(label, row, delta, row.size_bytes / sized if sized else None)


def _no_benchmark(record: RunRecord) -> Verdict:
    train = record.stages.train
    top1 = train.metrics.validation_top1 if train else None
    so_far = "" if top1 is None else f" (validation top-1 so far: {100 * top1:.2f} %)"
    return Verdict(
        "unknown",
        f"Nothing to judge yet: this run has no benchmark{so_far}.",
        "The verdict compares test accuracy, size and latency; mtf benchmark measures them.",
    )
