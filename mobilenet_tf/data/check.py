"""What is wrong with a dataset of image files, and what to do about it: a survey's findings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from mobilenet_tf.data.folder import is_unread_picture
from mobilenet_tf.data.index import PARTS, TEST, TRAIN, VALIDATION
from mobilenet_tf.data.partition import explain_short, find_missing, find_short, find_source
from mobilenet_tf.data.survey import Survey
from mobilenet_tf.errors import name_some

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
FEW_IMAGES = 50  # a class of fewer is learned badly and measured worse
IMBALANCE = 10.0  # times the smallest class
SMALL_SIDE_PX = 32
_NAMED = 10


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found: an error must be repaired, a warning looked at.

    `groups` are the files it is about, relative to the dataset, `notes` what is said of each group,
    if anything; `removed` are those that `mtf data check --fix` takes out.
    """

    kind: str
    severity: Severity
    what: str
    advice: str
    groups: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def list_groups(self, most: int) -> list[tuple[tuple[str, ...], str]]:
        """Return up to `most` groups, each with its note, or an empty one."""
        notes = self.notes or ("",) * len(self.groups)
        return list(zip(self.groups[:most], notes[:most], strict=True))


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

    @property
    def removed(self) -> list[str]:
        """The files that all findings take out, each once."""
        return sorted({path for finding in self.findings for path in finding.removed})


def check_images(survey: Survey, further: Iterable[Finding] = ()) -> DataCheck:
    """Return what a survey shows and `further` findings, errors first."""
    index, readable = survey.index, survey.readable
    sizes = survey.looks["size"][readable]
    order = np.argsort(sizes.astype(np.int64).prod(axis=1), kind="stable")
    ordered = list(map(tuple, sizes[order].tolist())) or [(0, 0)]
    cells = (index.labels * len(PARTS) + index.parts)[readable]
    counts = np.bincount(cells, minlength=len(index.classes) * len(PARTS)).reshape(-1, len(PARTS))
    classes = tuple(map(ClassCount, index.classes, *counts.T.tolist()))
    files = (*_find_unreadable(survey), *_find_duplicates(survey), *_find_traits(survey))
    findings = [count_groups(finding) for finding in files if finding.groups]
    findings += _find_small_classes(survey, classes)
    findings += further
    return DataCheck(
        origin=str(index.origin),
        image_count=len(index),
        classes=classes,
        smallest_px=ordered[0],
        median_px=ordered[len(ordered) // 2],
        largest_px=ordered[-1],
        modes=dict(Counter(survey.looks["mode"][readable].tolist()).most_common()),
        findings=tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))),
    )


def find_file(origin: Path, relative: str) -> Path:
    """Return the file that a finding about a dataset names."""
    return (origin if origin.is_dir() else origin.parent) / relative


def _find_unreadable(survey: Survey) -> Iterator[Finding]:
    kinds = {row: re.split(r" \(|;", reason)[0] for row, reason in survey.reasons.items()}
    for kind in sorted(set(kinds.values())):
        paths = tuple(survey.index.paths[row] for row, its in kinds.items() if its == kind)
        yield Finding(
            kind="unreadable",
            severity="error",
            what=f"cannot be read: it {kind}",
            advice="copy the originals again, or take them out with --fix",
            groups=tuple((path,) for path in paths),
            removed=paths,
        )


def _find_duplicates(survey: Survey) -> Iterator[Finding]:
    labels, parts = survey.index.labels, survey.index.parts
    exact, near = survey.exact_pairs, survey.near_pairs
    known = set(map(tuple, np.sort(exact, axis=1).tolist()))
    near = near[[tuple(pair) not in known for pair in near.tolist()]]

    def choose(pairs: NDArray[np.int64], *, label: bool, part: bool | None) -> NDArray[np.int64]:
        """Return the pairs whose labels, and whose parts, are the same (True) or not."""
        left, right = pairs.T
        chosen = (labels[left] == labels[right]) == label
        return pairs[chosen if part is None else chosen & ((parts[left] == parts[right]) == part)]

    def name(rows: NDArray[np.int64]) -> tuple[str, ...]:
        return tuple(survey.index.paths[row] for row in rows)

    both = choose(exact, label=False, part=None)
    yield Finding(
        kind="two_labels",
        severity="error",
        what="of equal files under two labels",
        advice="keep the one that is right; --fix takes out both, as either may be wrong",
        groups=tuple(map(name, both)),
        removed=name(np.unique(both)),
    )
    yield Finding(
        kind="two_labels_alike",
        severity="warning",
        what="of images that look the same under two labels",
        advice="look at them; where it is one thing, keep the right label",
        groups=tuple(map(name, choose(near, label=False, part=None))),
    )
    leaks = [choose(pairs, label=True, part=False) for pairs in (exact, near)]
    leaked = np.concatenate(leaks)
    # what stands in the part that is more for learning goes: train before validation
    first = np.where(parts[leaked[:, 0]] < parts[leaked[:, 1]], leaked[:, 0], leaked[:, 1])
    yield Finding(
        kind="leakage",
        severity="error",
        what="of images of which one is for training or choosing and the other for measuring"
        f" ({len(leaks[0])} equal, {len(leaks[1])} alike)",
        advice="the figures would be too good; --fix takes out the one that is not measured on",
        groups=tuple(map(name, leaked)),
        removed=name(np.unique(first)),
    )
    twice = choose(exact, label=True, part=True)
    yield Finding(
        kind="duplicate",
        severity="warning",
        what="of equal files in one class",
        advice="harmless, but each counts twice; --fix takes out all but the first",
        groups=tuple(map(name, twice)),
        removed=name(np.unique(twice[:, 1])),
    )
    yield Finding(
        kind="near_duplicate",
        severity="note",
        what="of images of one class that look the same",
        advice="nothing to do: a split made by `mtf run` keeps them together",
        groups=tuple(map(name, choose(near, label=True, part=True))),
    )


def _find_small_classes(survey: Survey, classes: tuple[ClassCount, ...]) -> Iterator[Finding]:
    index = survey.index
    from_train = find_source(index, survey.groups) == TRAIN
    missing = sorted(find_missing(index)) if from_train else []
    short = find_short(index.keep(survey.readable), survey.groups[survey.readable], missing)
    if short:
        what, advice = explain_short(short, missing)
        yield Finding(kind="class_too_small", severity="error", what=what, advice=advice)
    few = [f"{c.name} ({c.train})" for c in classes if c.train < FEW_IMAGES]
    if few:
        yield Finding(
            kind="class_small",
            severity="warning",
            what=f"fewer than {FEW_IMAGES} training images: {name_some(few, _NAMED)}",
            advice="add images if you can; begin with pretrained weights in any case",
        )
    for part in (VALIDATION, TEST):
        absent = [c.name for c in classes if index.has(part) and not getattr(c, PARTS[part])]
        if absent:
            yield Finding(
                kind="class_not_measured",
                severity="warning",
                what=f"no {PARTS[part]} image: {name_some(absent, _NAMED)}",
                advice=f"add {PARTS[part]} images of each class, or nothing is known about it",
            )
    small, *_, large = sorted(classes, key=lambda c: c.train)
    if large.train > IMBALANCE * max(small.train, 1):
        yield Finding(
            kind="imbalance",
            severity="warning",
            what=f"{large.name} has {large.train} training images, {small.name} has {small.train}",
            advice="judge by balanced accuracy, and weight classes or sample them evenly",
        )


def _find_traits(survey: Survey) -> Iterator[Finding]:
    looks, paths = survey.looks, survey.index.paths
    small = survey.readable & (looks["size"].min(axis=1) < SMALL_SIDE_PX)
    other = survey.readable & (looks["mode"] != "RGB")
    traits: tuple[tuple[str, Severity, NDArray[np.bool_], str, str], ...] = (
        ("flat", "warning", survey.flat, "showing one colour", "look at them, they may be damaged"),
        (
            "small",
            "warning",
            small,
            f"with a side below {SMALL_SIDE_PX} px",
            "thumbnails teach little; use the originals if there are any",
        ),
        (
            "turned",
            "note",
            looks["turned"],
            "to be turned, says their EXIF",
            "done here; an app that feeds the model must turn them as well",
        ),
        (
            "mode",
            "note",
            other,
            "not in RGB",
            "converted here: grey is repeated, what is transparent becomes white",
        ),
    )
    for kind, severity, chosen, what, advice in traits:
        groups = tuple((paths[row],) for row in np.flatnonzero(chosen))
        yield Finding(kind=kind, severity=severity, what=what, advice=advice, groups=groups)
    ignored = survey.index.ignored
    yield Finding(
        kind="other_format",
        severity="warning",
        what="left out: pictures in a format that is not read",
        advice="convert them to JPEG or PNG, or they are not learned from",
        groups=tuple((path,) for path in ignored if is_unread_picture(path)),
    )
    yield Finding(
        kind="ignored",
        severity="note",
        what="ignored: no image in the folder of a class",
        advice="nothing to do, unless images are among them",
        groups=tuple((path,) for path in ignored if not is_unread_picture(path)),
    )


def count_groups(finding: Finding) -> Finding:
    """Return a finding about files with their number before what is said of them."""
    count = len(finding.groups)
    noun = "pair" if len(finding.groups[0]) > 1 else "file"
    what = f"{count:,} {noun}{'' if count == 1 else 's'} {finding.what}"
    return msgspec.structs.replace(finding, what=what)
