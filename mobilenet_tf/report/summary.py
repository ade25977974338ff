"""A run as the report shows it: its models and files compared, and the verdict."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mobilenet_tf.recipe import Quantization
from mobilenet_tf.report.verdict import Verdict, judge
from mobilenet_tf.runs.record import RunRecord
from mobilenet_tf.runs.results import BenchmarkMetrics, BenchmarkRow

QUANTIZATION_LABELS: dict[Quantization, str] = {
    "float32": "float32",
    "float16": "float16",
    "dynamic_range": "dynamic range",
    "int8_ptq": "int8 PTQ",
    "int8_qat": "int8 QAT",
}


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
        """The names of the classes, as far as they are known."""
        return self.benchmark.classes if self.benchmark else ()

    @property
    def best_artifact(self) -> Artifact | None:
        """The artifact whose mistakes are worth showing: the int8 file, else the float model."""
        return self.headline or self.reference or next(iter(self.artifacts), None)


def summarise(record: RunRecord) -> Summary:
    """Return the comparison of a run's models and files, and the verdict on the int8 file.

    Stages may be missing; the verdict then says which figures are.
    """
    benchmark = record.stages.benchmark
    rows = benchmark.metrics.rows if benchmark else ()
    keras = _first(rows, "keras", "float32")
    float_file = _first(rows, "tflite", "float32")
    reference = keras or float_file
    # Which int8 file is shown is decided by its kind, never by its test accuracy.
    headline = _first(rows, "tflite", "int8_qat", "int8_ptq")
    sized = float_file or reference
    artifacts = {
        id(row): Artifact(
            label,
            row,
            # 6: rids it of binary noise
            delta_points=round(100 * (row.top1 - reference.top1), 6) if reference else None,
            size_share=row.size_bytes / sized.size_bytes if sized and sized.size_bytes else None,
        )
        for row, label in zip(rows, _labels(rows), strict=True)
    }
    if benchmark is None:
        verdict = _no_benchmark(record)
    elif headline is None or reference is None:
        lacking = "float model" if headline else "int8 file"
        verdict = Verdict(
            "unknown",
            f"Not comparable: the benchmark has no {lacking}.",
            "The verdict compares an int8 file with the float model of the same run.",
        )
    else:
        share = artifacts[id(headline)].size_share
        verdict = judge(headline, reference, benchmark.metrics, share)

    def artifact(row: BenchmarkRow | None) -> Artifact | None:
        return artifacts[id(row)] if row else None

    return Summary(
        record,
        tuple(artifacts.values()),
        artifact(reference),
        artifact(float_file),
        artifact(headline),
        verdict,
    )


def _no_benchmark(record: RunRecord) -> Verdict:
    train = record.stages.train
    top1 = train.metrics.validation_top1 if train else None
    so_far = "" if top1 is None else f" (validation top-1 so far: {100 * top1:.2f} %)"
    return Verdict(
        "unknown",
        f"Nothing to judge yet: this run has no benchmark{so_far}.",
        "The verdict compares test accuracy, size and latency; mtf benchmark measures them.",
    )


def _first(
    rows: tuple[BenchmarkRow, ...], form: str, *quantizations: Quantization
) -> BenchmarkRow | None:
    found = (r for q in quantizations for r in rows if (r.format, r.quantization) == (form, q))
    return next(found, None)


def _labels(rows: tuple[BenchmarkRow, ...]) -> list[str]:
    """Return a label for every row: unique by input type where that differs, else by number."""
    labels = [QUANTIZATION_LABELS[row.quantization] for row in rows]
    for index, row in enumerate(rows):
        if row.format == "keras":
            labels[index] = "Keras QAT" if row.stage == "qat" else f"Keras {labels[index]}"
    counts = Counter(labels)
    labels = [
        f"{label}, {row.io_type}" if counts[label] > 1 else label
        for label, row in zip(labels, rows, strict=True)
    ]
    seen: Counter[str] = Counter()
    for index, label in enumerate(labels):
        seen[label] += 1
        labels[index] = label if seen[label] == 1 else f"{label} ({seen[label]})"
    return labels
