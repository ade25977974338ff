"""The page of a dataset's check: findings and classes with thumbnails, in one file, offline."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobilenet_tf.data.check import DataCheck, find_file
from mobilenet_tf.data.image import encode_jpeg, fit_image, open_image, to_rgb
from mobilenet_tf.data.parallel import map_in_threads
from mobilenet_tf.data.survey import Survey
from mobilenet_tf.errors import MtfError
from mobilenet_tf.system.terminal import escape

THUMBNAIL_PX = 96
_GROUPS_SHOWN = 24
_CLASSES_SHOWN = 100
_SHOWN_OF_A_CLASS = 8


@dataclass(frozen=True)
class Shown:
    """An image's path, escaped, and its thumbnail as a data: address; "" where it has none."""

    path: str
    thumbnail: str


def render_contact_sheet(check: DataCheck, survey: Survey) -> str:
    """Return the page, HTML; everything that comes from the dataset is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    origin = survey.index.origin
    findings = []
    for finding in check.findings:
        groups = finding.groups[:_GROUPS_SHOWN]
        shown = [list(_show(origin, group)) for group in groups]
        more = len(finding.groups) - len(groups)
        findings.append(
            {
                "kind": finding.kind,
                "severity": finding.severity,
                "what": escape(finding.what),
                "advice": escape(finding.advice),
                "groups": shown,
                "more": more,
            }
        )
    samples = [
        (name, list(_show(origin, _sample(survey, label))))
        for label, name in enumerate(survey.index.classes[:_CLASSES_SHOWN])
    ]
    return environment.get_template("data_check.html.jinja").render(
        check=check, findings=findings, samples=samples, side=THUMBNAIL_PX
    )


def _sample(survey: Survey, label: int) -> list[str]:
    """Return the paths of a few images of a class, spread over all of its readable ones."""
    rows = np.flatnonzero(survey.readable & (survey.index.labels == label))
    places = np.linspace(0, max(len(rows) - 1, 0), _SHOWN_OF_A_CLASS).astype(int)
    return [survey.index.paths[row] for row in rows[np.unique(places)[: len(rows)]]]


def _show(origin: Path, paths: Iterable[str]) -> Iterable[Shown]:
    paths = list(paths)
    files = [find_file(origin, path) for path in paths]
    for path, thumbnail in zip(paths, map_in_threads(make_thumbnail, files), strict=True):
        yield Shown(escape(path), thumbnail)


def make_thumbnail(path: Path) -> str:
    """Return a small copy of an image file as a data: address; "" where it cannot be read."""
    try:
        with open_image(path, needed_px=THUMBNAIL_PX) as image:
            small = fit_image(to_rgb(image, path), THUMBNAIL_PX, THUMBNAIL_PX, "pad")
    except (MtfError, OSError):
        return ""
    encoded = base64.b64encode(encode_jpeg(np.asarray(small)))
    return f"data:image/jpeg;base64,{encoded.decode('ascii')}"
