"""Does the int8 file match the float model, and is it small? The answer and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from mobilenet_tf.evaluation.paired import (
    Difference,
    estimate_difference,
    mcnemar_p,
    smallest_count,
)
from mobilenet_tf.report.templates import environment
from mobilenet_tf.runs.results import BenchmarkMetrics, BenchmarkRow

CONFIDENCE = 0.95
ACCURACY_LIMIT_POINTS = 0.5
CLASS_LIMIT_POINTS = 5.0  # what one class of ten loses where 0.5 points of the mean are lost in it
SIZE_LIMIT_SHARE = 0.30
# Beside a quarter, which few weights do not outweigh: a float32 scale, an int64 zero point and what
# an int32 bias has over a quarter of a float32 one; and the graph.
CHANNEL_BYTES = 4 + 8 + 3
GRAPH_BYTES = 24_000
LIMITS = {
    "points": ACCURACY_LIMIT_POINTS,
    "class_points": CLASS_LIMIT_POINTS,
    "size_share": SIZE_LIMIT_SHARE,
    "channel_bytes": CHANNEL_BYTES,
    "graph_bytes": GRAPH_BYTES,
}

Status = Literal["pass", "fail", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """The answer (status and sentence) and what it rests on."""

    status: Status
    sentence: str
    basis: str


@dataclass(frozen=True)
class ClassDifference:
    """A class and its paired difference, the interval corrected for the number of classes."""

    name: str
    difference: Difference
    enough: bool  # images to stay within the limit where no prediction differs

    @property
    def points(self) -> float:
        """The difference that was measured, in points."""
        return 100 * self.difference.estimate


@dataclass(frozen=True)
class Evidence:
    """The paired differences of an int8 file: of all test images, and class by class."""

    overall: Difference
    classes: tuple[ClassDifference, ...]  # the worst first

    @property
    def worse(self) -> list[ClassDifference]:
        """The classes whose whole interval lies below their limit."""
        return [c for c in self.classes if 100 * c.difference.high < -CLASS_LIMIT_POINTS]

    @property
    def status(self) -> Status:
        """Whether the images show that the file matches, that it does not, or cannot tell."""
        limit = ACCURACY_LIMIT_POINTS
        if self.worse or 100 * self.overall.high < -limit:
            return "fail"
        # 1e-9: a difference of exactly the limit is within it
        too_low = 100 * self.overall.low < -limit - 1e-9
        doubtful = any(
            c.points < -CLASS_LIMIT_POINTS and c.difference.high < 0 for c in self.classes
        )
        return "unknown" if too_low or doubtful else "pass"


def weigh(row: BenchmarkRow, classes: Sequence[str]) -> Evidence | None:
    """Return the evidence on a file; None where the benchmark did not pair it with the model.

    Intervals of classes are Bonferroni-corrected: all of them hold with a confidence of 95 %.
    """
    paired, counts = row.paired, [sum(line) for line in row.confusion]
    if paired is None or not len(counts) == len(paired.lost) == len(paired.gained) == len(classes):
        return None
    cells = list(zip(classes, counts, paired.lost, paired.gained, strict=True))
    if any(lost + gained > count for _, count, lost, gained in cells) or not sum(counts):
        return None
    seen = [cell for cell in cells if cell[1]]
    confidence = 1 - (1 - CONFIDENCE) / len(seen)
    enough = smallest_count(CLASS_LIMIT_POINTS / 100, confidence=confidence)
    by_class = []
    for name, count, lost, gained in seen:
        difference = estimate_difference(lost, gained, count, confidence=confidence)
        by_class.append(ClassDifference(name, difference, count >= enough))
    lost, gained = sum(paired.lost), sum(paired.gained)
    overall = estimate_difference(lost, gained, sum(counts), confidence=CONFIDENCE)
    return Evidence(overall, tuple(sorted(by_class, key=lambda c: c.points)))


def judge(
    row: BenchmarkRow,
    reference: BenchmarkRow,
    benchmark: BenchmarkMetrics,
    size_share: float | None,
) -> Verdict:
    """Return the verdict on an int8 file: does it match the float model, and is it small?"""
    # whoever guesses, or always names the largest class, finds this share of each class on average
    recalls = [share for share in reference.per_class if share is not None]
    guessed = 1 / max(len(recalls) or len(benchmark.classes), 1)
    found = fmean(recalls) if recalls else reference.top1
    if found <= guessed + guessed * (1 - guessed) / 2:
        return Verdict(
            "unknown",
            "Nothing to judge yet: the float model itself is barely better than guessing"
            f" ({100 * found:.2f} % balanced accuracy with {len(benchmark.classes)} classes).",
            "Train longer before judging what quantization costs.",
        )
    small = is_small(row, size_share)
    evidence = weigh(row, benchmark.classes)
    overall = evidence.overall if evidence else None
    words = (
        environment()
        .get_template("verdict.jinja")
        .make_module(
            {
                "row": row,
                "reference": reference,
                "test_count": benchmark.test_count,
                "size_share": size_share,
                "small": small,
                "evidence": evidence,
                "limits": LIMITS,
                "p_value": mcnemar_p(overall.lost, overall.gained) if overall else None,
                "least_count": smallest_count(ACCURACY_LIMIT_POINTS / 100, confidence=CONFIDENCE),
            }
        )
    )
    status = evidence.status if evidence else "unknown"
    sentence, basis = (
        " ".join(str(getattr(words, part)).split()) for part in ("sentence", "basis")
    )
    return Verdict(status if small else "fail", sentence, basis)


def is_small(row: BenchmarkRow, size_share: float | None) -> bool:
    """Return whether an int8 file is as small as one is expected to be; True if not known."""
    if size_share is None or size_share <= SIZE_LIMIT_SHARE + 1e-9:
        return True
    if row.channels is None:
        return False
    quarter_bytes = 0.25 * row.size_bytes / size_share
    return row.size_bytes <= quarter_bytes + CHANNEL_BYTES * row.channels + GRAPH_BYTES + 1e-3
