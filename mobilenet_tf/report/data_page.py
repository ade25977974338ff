"""The page of a dataset's check: findings and classes with thumbnails, in one file, offline."""

from __future__ import annotations

import numpy as np

from mobilenet_tf.data.check import SEVERITIES, DataCheck, find_file
from mobilenet_tf.data.index import PARTS
from mobilenet_tf.data.survey import Survey
from mobilenet_tf.data.thumbnails import make_thumbnails
from mobilenet_tf.report.tables import Column, Table
from mobilenet_tf.report.templates import POLICY, render
from mobilenet_tf.report.units import MISSING

GROUPS_SHOWN = 24  # of a finding
CLASSES_SHOWN = 100
SHOWN_OF_A_CLASS = 8


def count_table(check: DataCheck) -> Table:
    """Return how many images each class has in each part that is there."""
    parts = [part for part in PARTS if any(getattr(row, part) for row in check.classes)]
    rows = tuple(
        (row.name, *(f"{count:,}" if (count := getattr(row, part)) else MISSING for part in parts))
        for row in check.classes
    )
    return Table("Images of each class", (Column("class", align="left"), *map(Column, parts)), rows)


def render_data_check(check: DataCheck, survey: Survey) -> str:
    """Return the page, HTML; everything that comes from the dataset is escaped."""
    samples = {
        name: _sample(survey, label)
        for label, name in enumerate(survey.index.classes[:CLASSES_SHOWN])
    }
    shown = [
        path for finding in check.findings for g in finding.groups[:GROUPS_SHOWN] for path in g
    ]
    shown += [path for paths in samples.values() for path in paths]
    files = {path: str(find_file(survey.index.origin, path)) for path in shown}
    thumbnails = make_thumbnails(files.values())
    counts = {s: sum(f.severity == s for f in check.findings) for s in SEVERITIES}
    return render(
        "data_check.html.jinja",
        title=f"Check of {survey.index.origin.name}",
        policy=f"{POLICY}; img-src data:",
        check=check,
        counts=counts,
        groups_shown=GROUPS_SHOWN,
        samples=samples,
        table=count_table(check),
        thumbnails={path: thumbnails.get(file) for path, file in files.items()},
    )


def _sample(survey: Survey, label: int) -> list[str]:
    """Return the paths of a few images of a class, spread over all of its readable ones."""
    rows = np.flatnonzero(survey.readable & (survey.index.labels == label))
    places = np.unique(np.linspace(0, len(rows) - 1, SHOWN_OF_A_CLASS).astype(int))
    return [survey.index.paths[row] for row in rows[places[: len(rows)]]]
