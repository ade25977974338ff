"""What is wrong with a dataset of image files, and what to do about it: a survey's findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from mobilenet_tf.data.duplicates import find_exact_pairs, find_near_pairs, group_alike, is_flat
from mobilenet_tf.data.index import PARTS, TEST, TRAIN, VALIDATION
from mobilenet_tf.data.survey import Survey

Severity = Literal["error", "warning", "note"]
FEW_IMAGES = 50  # a class of fewer is learned badly and measured worse
IMBALANCE = 10.0  # times the smallest class
SMALL_SIDE_PX = 32


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found: an error must be repaired, a warning looked at.

    `groups` are the files it is about, relative to the dataset; `removed` are those that
    `mtf data check --fix` takes out.
    """

    kind: str
    severity: Severity
    what: str
    advice: str
    groups: tuple[tuple[str, ...], ...] = ()
    removed: tuple[str, ...] = ()


class ClassCount(msgspec.Struct, frozen=True):
    """How many readable images a class has in each part."""

    name: str
    train: int
    validation: int
    test: int


class DataCheck(msgspec.Struct, frozen=True, kw_only=True):
    """All that a check of a dataset tells; sizes in pixels are (width, height) upright."""

    origin: str
    image_count: int
    classes: tuple[ClassCount, ...]
    smallest_px: tuple[int, int]
    median_px: tuple[int, int]
    largest_px: tuple[int, int]
    modes: dict[str, int]
    findings: tuple[Finding, ...]

    @property
    def must_be_repaired(self) -> bool:
        """Whether any finding is an error."""
        return any(finding.severity == "error" for finding in self.findings)


def check_images(survey: Survey) -> DataCheck:
    """Return what a survey shows, errors first."""
    index, readable = survey.index, survey.readable
    sizes = survey.sizes[readable]
    if not len(sizes):
        sizes = np.zeros((1, 2), np.int32)
    order = np.argsort(sizes.astype(np.int64).prod(axis=1), kind="stable")
    cells = index.labels * len(PARTS) + index.parts
    counts = np.bincount(cells[readable], minlength=len(index.classes) * len(PARTS))
    classes = tuple(
        ClassCount(name, *row)
        for name, row in zip(index.classes, counts.reshape(-1, len(PARTS)).tolist(), strict=True)
    )
    findings = [*_find_unreadable(survey), *_find_duplicates(survey), *_find_small(survey, classes)]
    findings += _find_traits(survey)
    rank = {"error": 0, "warning": 1, "note": 2}
    return DataCheck(
        origin=str(index.origin),
        image_count=len(index),
        classes=classes,
        smallest_px=_size(sizes[order[0]]),
        median_px=_size(sizes[order[len(order) // 2]]),
        largest_px=_size(sizes[order[-1]]),
        modes=dict(Counter(mode for mode in survey.modes if mode).most_common()),
        findings=tuple(sorted(findings, key=lambda finding: rank[finding.severity])),
    )


def _size(size: NDArray[np.int32]) -> tuple[int, int]:
    return int(size[0]), int(size[1])


def _find_unreadable(survey: Survey) -> Iterable[Finding]:
    by_reason: dict[str, list[str]] = {}
    for row, reason in survey.reasons.items():
        by_reason.setdefault(reason, []).append(survey.index.paths[row])
    for reason, paths in sorted(by_reason.items()):
        yield Finding(
            kind="unreadable",
            severity="error",
            what=f"{_count(paths)} cannot be read: {reason}",
            advice="copy the originals again, or take them out with --fix",
            groups=tuple((path,) for path in paths),
            removed=tuple(paths),
        )


@dataclass(frozen=True)
class _Pairs:
    """Pairs of equal or similar images, told apart by label and part."""

    survey: Survey
    exact: NDArray[np.int64]
    near: NDArray[np.int64]

    def select(self, pairs: NDArray[np.int64], *, labels: bool, parts: bool) -> NDArray[np.int64]:
        """Return the pairs whose labels, and whose parts, are the same (True) or not."""
        index = self.survey.index
        same_label = index.labels[pairs[:, 0]] == index.labels[pairs[:, 1]]
        same_part = index.parts[pairs[:, 0]] == index.parts[pairs[:, 1]]
        return pairs[(same_label == labels) & (same_part == parts)]

    def paths(self, pairs: NDArray[np.int64]) -> tuple[tuple[str, ...], ...]:
        paths = self.survey.index.paths
        return tuple((paths[left], paths[right]) for left, right in pairs.tolist())


def _find_duplicates(survey: Survey) -> Iterable[Finding]:
    exact = find_exact_pairs(survey)
    near = find_near_pairs(survey)
    known = {tuple(pair) for pair in exact.tolist()}
    near = np.array([p for p in near.tolist() if tuple(p) not in known], np.int64).reshape(-1, 2)
    pairs = _Pairs(survey, exact, near)
    paths, parts = survey.index.paths, survey.index.parts
    both = np.concatenate([pairs.select(exact, labels=False, parts=same) for same in (True, False)])
    if len(both):
        yield Finding(
            kind="two_labels",
            severity="error",
            what=f"{_count(both, 'pair')} of equal files under two labels",
            advice="keep the one that is right; --fix takes out both, as either may be wrong",
            groups=pairs.paths(both),
            removed=tuple(paths[row] for row in np.unique(both)),
        )
    alike = np.concatenate([pairs.select(near, labels=False, parts=same) for same in (True, False)])
    if len(alike):
        yield Finding(
            kind="two_labels_alike",
            severity="warning",
            what=f"{_count(alike, 'pair')} of images that look the same under two labels",
            advice="look at them; where it is one thing, keep the right label",
            groups=pairs.paths(alike),
        )
    leaks = [pairs.select(some, labels=True, parts=False) for some in (exact, near)]
    leaked = np.concatenate(leaks)
    if len(leaked):
        # what stands in the part that is more for learning goes: train before validation
        first = np.where(parts[leaked[:, 0]] < parts[leaked[:, 1]], leaked[:, 0], leaked[:, 1])
        yield Finding(
            kind="leakage",
            severity="error",
            what=f"{_count(leaked, 'pair')} of images of which one is for training or choosing and"
            f" the other for measuring ({len(leaks[0])} equal, {len(leaks[1])} alike)",
            advice="the figures would be too good; --fix takes out the one that is not measured on",
            groups=pairs.paths(leaked),
            removed=tuple(paths[row] for row in np.unique(first)),
        )
    twice = pairs.select(exact, labels=True, parts=True)
    if len(twice):
        yield Finding(
            kind="duplicate",
            severity="warning",
            what=f"{_count(twice, 'file')} equal to another of its class",
            advice="harmless, but each counts twice; --fix takes out all but the first",
            groups=pairs.paths(twice),
            removed=tuple(paths[row] for row in np.unique(twice[:, 1])),
        )
    similar = pairs.select(near, labels=True, parts=True)
    if len(similar):
        yield Finding(
            kind="near_duplicate",
            severity="note",
            what=f"{_count(similar, 'pair')} of images of one class that look the same",
            advice="nothing to do: a split made by `mtf run` keeps them together",
            groups=pairs.paths(similar),
        )


def _find_small(survey: Survey, classes: tuple[ClassCount, ...]) -> Iterable[Finding]:
    index = survey.index
    missing = [part for part in (VALIDATION, TEST) if not index.has(part)]
    groups = group_alike(survey)
    chosen = survey.readable & (index.parts == TRAIN)
    pairs = np.unique(np.stack([index.labels[chosen], groups[chosen]]), axis=1)
    different = np.bincount(pairs[0], minlength=len(classes)).tolist()
    needed = 1 + len(missing)
    short = [f"{c.name} ({d})" for c, d in zip(classes, different, strict=True) if d < needed]
    if short:
        yield Finding(
            kind="class_too_small",
            severity="error",
            what=f"fewer than {needed} different images for training: {_few(short)}",
            advice="one is needed for each of "
            + ", ".join(PARTS[part] for part in (TRAIN, *missing))
            + "; add images, merge these classes or remove them",
        )
    few = [f"{c.name} ({c.train})" for c in classes if c.train < FEW_IMAGES]
    if few:
        yield Finding(
            kind="class_small",
            severity="warning",
            what=f"fewer than {FEW_IMAGES} training images: {_few(few)}",
            advice="add images if you can; begin with pretrained weights in any case",
        )
    for part in (VALIDATION, TEST):
        absent = [c.name for c in classes if index.has(part) and not getattr(c, PARTS[part])]
        if absent:
            yield Finding(
                kind="class_not_measured",
                severity="warning",
                what=f"no {PARTS[part]} image: {_few(absent)}",
                advice=f"add {PARTS[part]} images of each class, or nothing is known about it",
            )
    counts = [c.train for c in classes]
    if max(counts) > IMBALANCE * max(min(counts), 1):
        large, small = (classes[counts.index(pick(counts))] for pick in (max, min))
        yield Finding(
            kind="imbalance",
            severity="warning",
            what=f"{large.name} has {large.train} training images, {small.name} has {small.train}",
            advice="judge by balanced accuracy, and weight classes or sample them evenly",
        )


def _find_traits(survey: Survey) -> Iterable[Finding]:
    paths = np.array(survey.index.paths, object)
    small = survey.readable & (survey.sizes.min(axis=1) < SMALL_SIDE_PX)
    other = np.array([mode not in ("RGB", "") for mode in survey.modes])
    ignored = survey.index.ignored
    traits: tuple[tuple[str, Severity, NDArray[np.bool_], str, str], ...] = (
        ("flat", "warning", is_flat(survey), "show one colour", "look at them: are they damaged?"),
        (
            "small",
            "warning",
            small,
            f"have a side below {SMALL_SIDE_PX} px",
            "thumbnails teach little; use the originals if there are any",
        ),
        (
            "turned",
            "note",
            survey.turned,
            "are to be turned, says their EXIF",
            "done here; an app that feeds the model must turn them as well",
        ),
        (
            "mode",
            "note",
            other,
            "are not RGB",
            "converted here: grey is repeated, what is transparent becomes white",
        ),
    )
    for kind, severity, chosen, what, advice in traits:
        if chosen.any():
            yield Finding(
                kind=kind,
                severity=severity,
                what=f"{_count(paths[chosen])} {what}",
                advice=advice,
                groups=tuple((path,) for path in paths[chosen]),
            )
    if ignored:
        yield Finding(
            kind="ignored",
            severity="note",
            what=f"{_count(ignored, 'file')} ignored: not an image in the folder of a class",
            advice="nothing to do, unless images are among them",
            groups=tuple((path,) for path in ignored),
        )


def _count(things: Iterable[object], noun: str = "image") -> str:
    count = len(list(things))
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _few(names: list[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def find_file(origin: Path, relative: str) -> Path:
    """Return the file that a finding about a dataset names."""
    return (origin if origin.is_dir() else origin.parent) / relative
