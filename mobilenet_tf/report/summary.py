"""What the stage results say: the artifacts side by side and a verdict in one sentence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

ACCURACY_LIMIT_POINTS = 0.5
SIZE_LIMIT_SHARE = 0.30
# Beside a quarter, which few weights do not outweigh: a float32 scale, an int64 zero point and what
# an int32 bias has over a quarter of a float32 one; and the graph.
CHANNEL_BYTES = 4 + 8 + 3
GRAPH_BYTES = 24_000

Status = Literal["pass", "fail", "unknown"]
STAGE_ORDER = ("train", "qat", "export", "benchmark")
QUANTIZATION_LABELS = {
    "float32": "float32",
    "float16": "float16",
    "dynamic_range": "dynamic range",
    "int8_ptq": "int8 PTQ",
    "int8_qat": "int8 QAT",
}


@dataclass(frozen=True)
class Artifact:
    """One benchmarked model or file; accuracies are shares (0 to 1), None is "not measured"."""

    name: str
    label: str
    stage: str
    format: str
    quantization: str
    io_type: str
    file: str | None
    size_bytes: float | None
    parameters: float | None
    macs: float | None
    channels: float | None  # outputs of all layers with weights, each with a scale and a bias
    top1: float | None
    top5: float | None
    per_class: tuple[float | None, ...]
    confusion: tuple[tuple[float, ...], ...]
    latency_median_ms: float | None
    latency_p90_ms: float | None
    threads: float | None
    peak_memory_bytes: float | None
    augmented_top1: float | None = None  # mean over views of each image
    delta_points: float | None = None
    size_share: float | None = None


@dataclass(frozen=True)
class Epoch:
    """One row of a training history; None where the figure was not measured."""

    epoch: float
    loss: float | None
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None


@dataclass(frozen=True)
class Verdict:
    """The answer (status and sentence) and what it rests on."""

    status: Status
    sentence: str
    basis: str


@dataclass(frozen=True)
class Summary:
    """A run as the report needs it; `reference` is the float model, `headline` the int8 file."""

    run: str
    command: str | None
    recipe: Mapping[str, Any]
    stages: Mapping[str, Mapping[str, Any]]
    train_history: tuple[Epoch, ...]
    qat_history: tuple[Epoch, ...]
    classes: tuple[str, ...]
    test_count: int | None
    threads: int | None
    artifacts: tuple[Artifact, ...]
    reference: Artifact | None
    float_file: Artifact | None
    headline: Artifact | None
    verdict: Verdict

    @property
    def best_artifact(self) -> Artifact | None:
        """The artifact whose mistakes are worth showing: the int8 file, else the float model."""
        return self.headline or self.reference or next(iter(self.artifacts), None)


def summarise(run: Mapping[str, Any]) -> Summary:
    """Return what a run's stage results say.

    `run` is {"run": name, "command": str (optional), "recipe": {...}, "stages": {stage: result},
    "history": {"train": [row], "qat": [row]}} with rows as `history.csv` has them, numbers or
    text. Every part may be missing; the report then says so instead of guessing.
    """
    found = mapping(run.get("stages"))
    order = [name for name in STAGE_ORDER if name in found]
    order += [name for name in found if name not in STAGE_ORDER]
    stages = {name: mapping(found[name]) for name in order}
    benchmark = mapping(stages.get("benchmark", {}).get("metrics"))
    classes = tuple(str(name) for name in sequence(benchmark.get("classes")))
    history = mapping(run.get("history"))
    test_count = number(benchmark.get("test_count"))
    threads = number(benchmark.get("threads"))

    artifacts = _distinct([_artifact(mapping(row)) for row in sequence(benchmark.get("rows"))])
    keras_float = _first(artifacts, format="keras", stage="train")
    float_file = _first(artifacts, format="tflite", quantization="float32")
    reference = keras_float or float_file
    artifacts = tuple(_compare(row, reference, float_file or reference) for row in artifacts)
    # Which int8 file is shown is decided by its kind, never by its test accuracy.
    headline = _first(artifacts, format="tflite", quantization="int8_qat") or _first(
        artifacts, format="tflite", quantization="int8_ptq"
    )
    reference = next((row for row in artifacts if reference and row.label == reference.label), None)
    summary = Summary(
        run=str(run.get("run") or "run"),
        command=str(run["command"]) if run.get("command") else None,
        recipe=mapping(run.get("recipe")),
        stages=stages,
        train_history=_epochs(history.get("train")),
        qat_history=_epochs(history.get("qat")),
        classes=classes,
        test_count=None if test_count is None else round(test_count),
        threads=None if threads is None else round(threads),
        artifacts=artifacts,
        reference=reference,
        float_file=_first(artifacts, format="tflite", quantization="float32"),
        headline=headline,
        verdict=Verdict("unknown", "", ""),
    )
    return replace(summary, verdict=judge(summary))


def judge(summary: Summary) -> Verdict:
    """Return the verdict on the int8 file: as good as the float model, and small?"""
    row, reference = summary.headline, summary.reference
    if not summary.artifacts:
        trained = number(
            mapping(summary.stages.get("train", {}).get("metrics")).get("validation_top1")
        )
        so_far = "" if trained is None else f" (validation top-1 so far: {100 * trained:.2f} %)"
        return Verdict(
            "unknown",
            f"Nothing is shown yet: this run has no benchmark{so_far}.",
            "The verdict compares test accuracy, size and latency, which the benchmark measures.",
        )
    if row is None or reference is None or row.top1 is None or reference.top1 is None:
        lacking = "int8 file" if row is None or row.top1 is None else "float model"
        return Verdict(
            "unknown",
            f"Not comparable: the benchmark has no {lacking} with a test accuracy.",
            "The verdict compares an int8 file with the float model of the same run.",
        )
    class_count = len(summary.classes) or len(reference.per_class)
    if class_count and reference.top1 <= 1.5 / class_count:
        return Verdict(
            "unknown",
            f"Nothing is shown yet: the float model itself hardly beats guessing"
            f" ({100 * reference.top1:.2f} % top-1 with {class_count} classes).",
            "Train longer before judging what quantization costs.",
        )
    delta = row.delta_points or 0.0
    accurate = delta >= -ACCURACY_LIMIT_POINTS - 1e-9
    small = _is_small(row)
    share = 0.0 if row.size_share is None else 100 * row.size_share
    images = "" if summary.test_count is None else f" on {summary.test_count:,} test images"
    figures = f"{100 * row.top1:.2f} % against {100 * reference.top1:.2f} % top-1{images}"
    if row.size_bytes is not None:
        figures += f", {format_size(row.size_bytes)}"
        figures += "" if row.size_share is None else f" ({share:.1f} % of float32)"
    if row.latency_median_ms is not None:
        figures += f", {format_ms(row.latency_median_ms)} ms an image"
    if accurate and small:
        opening = "Yes, the int8 file is as good as the float model"
    elif accurate:
        opening = "Not small enough: the int8 file is as good as the float model but too large"
    else:
        opening = f"No, the int8 file is {-delta:.2f} points under the float model"
        opening += "" if small else " and too large"
    return Verdict(
        "pass" if accurate and small else "fail",
        f"{opening}: {figures}.",
        f"As good: at most {ACCURACY_LIMIT_POINTS} points under the float model;"
        f" small: at most {100 * SIZE_LIMIT_SHARE:.0f} % of the float32 file, or a quarter of it,"
        f" {CHANNEL_BYTES} bytes a channel for scales and biases, and {format_size(GRAPH_BYTES)} of"
        " graph." + _sampling_note(row.top1, summary.test_count),
    )


def _is_small(row: Artifact) -> bool:
    """Return whether an int8 file is as small as one is expected to be; True if not known."""
    if row.size_share is None or row.size_bytes is None:
        return True
    if row.size_share <= SIZE_LIMIT_SHARE + 1e-9:
        return True
    if row.channels is None:
        return False
    quarter_bytes = 0.25 * row.size_bytes / row.size_share
    return row.size_bytes <= quarter_bytes + CHANNEL_BYTES * row.channels + GRAPH_BYTES + 1e-3


def accuracy_interval(top1: float, count: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of an accuracy measured on `count` images.

    Both ends are shares. Source: Wilson, JASA 22 (1927), "Probable inference".
    """
    z = 1.959964
    centre = (top1 + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count)
    half *= math.sqrt(top1 * (1 - top1) / count + z * z / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def _sampling_note(top1: float, count: int | None) -> str:
    if not count:
        return ""
    low, high = accuracy_interval(top1, count)
    return (
        f" One test image is {100 / count:.2f} points; the 95 % interval of the int8"
        f" accuracy is {100 * low:.1f} to {100 * high:.1f} %."
    )


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


def number(value: object) -> float | None:
    """Return a finite number, or None for anything else; text is read as history.csv has it."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        parsed = float(value)
    except (ValueError, OverflowError):
        return None
    return parsed if math.isfinite(parsed) else None


def mapping(value: object) -> Mapping[str, Any]:
    """Return `value` if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: object) -> Sequence[Any]:
    """Return `value` if it is a list or tuple, else an empty one."""
    return value if isinstance(value, (list, tuple)) else ()


def _artifact(row: Mapping[str, Any]) -> Artifact:
    kind, quantization = str(row.get("format") or ""), str(row.get("quantization") or "")
    label = QUANTIZATION_LABELS.get(quantization, quantization) or str(row.get("artifact") or "?")
    if kind == "keras":
        label = "Keras QAT" if row.get("stage") == "qat" else f"Keras {label}"
    return Artifact(
        name=str(row.get("artifact") or label),
        label=label,
        stage=str(row.get("stage") or ""),
        format=kind,
        quantization=quantization,
        io_type=str(row.get("io_type") or "float32"),
        file=str(row["file"]) if row.get("file") else None,
        size_bytes=number(row.get("size_bytes")),
        parameters=number(row.get("parameters")),
        macs=number(row.get("macs")),
        channels=number(row.get("channels")),
        top1=number(row.get("top1")),
        top5=number(row.get("top5")),
        per_class=tuple(number(value) for value in sequence(row.get("per_class"))),
        confusion=tuple(
            tuple(number(count) or 0.0 for count in sequence(line))
            for line in sequence(row.get("confusion"))
        ),
        latency_median_ms=number(row.get("latency_median_ms")),
        latency_p90_ms=number(row.get("latency_p90_ms")),
        threads=number(row.get("threads")),
        peak_memory_bytes=number(row.get("peak_memory_bytes")),
        augmented_top1=number(mapping(row.get("test_time_augmentation")).get("top1")),
    )


def _distinct(artifacts: list[Artifact]) -> tuple[Artifact, ...]:
    """Make labels unique: by input type where that tells files apart, else by number."""
    counts = Counter(row.label for row in artifacts)
    named = [
        replace(row, label=f"{row.label}, {row.io_type}") if counts[row.label] > 1 else row
        for row in artifacts
    ]
    seen: Counter[str] = Counter()
    result = []
    for row in named:
        seen[row.label] += 1
        again = seen[row.label]
        result.append(row if again == 1 else replace(row, label=f"{row.label} ({again})"))
    return tuple(result)


def _compare(row: Artifact, reference: Artifact | None, sized: Artifact | None) -> Artifact:
    delta = share = None
    if reference and reference.top1 is not None and row.top1 is not None:
        delta = round(100 * (row.top1 - reference.top1), 6)  # 6: rids it of binary noise
    if sized and sized.size_bytes and row.size_bytes is not None:
        share = row.size_bytes / sized.size_bytes
    return replace(row, delta_points=delta, size_share=share)


def _first(artifacts: Sequence[Artifact], **wanted: str) -> Artifact | None:
    for row in artifacts:
        if all(getattr(row, key) == value for key, value in wanted.items()):
            return row
    return None


def _epochs(rows: object) -> tuple[Epoch, ...]:
    result = []
    for index, row in enumerate(map(mapping, sequence(rows))):
        epoch = number(row.get("epoch"))
        result.append(
            Epoch(
                epoch=float(index + 1) if epoch is None else epoch,
                loss=number(row.get("loss")),
                accuracy=number(row.get("accuracy")),
                validation_loss=number(row.get("validation_loss")),
                validation_accuracy=number(row.get("validation_accuracy")),
            )
        )
    return tuple(result)
