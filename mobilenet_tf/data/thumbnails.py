"""Small copies of images for pages that load nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mobilenet_tf.data.image import encode_jpeg, open_image, to_rgb
from mobilenet_tf.data.parallel import map_files

THUMBNAIL_PX = 144


def make_thumbnails(paths: Iterable[str]) -> dict[str, str]:
    """Return a small copy of each image file as a data: address; those that cannot be read lack."""
    named = list(dict.fromkeys(paths))
    made = zip(named, map_files(_make_thumbnail, map(Path, named)), strict=True)
    return {path: thumbnail for path, thumbnail in made if isinstance(thumbnail, str)}


def _make_thumbnail(path: Path) -> str:
    with open_image(path, needed_px=THUMBNAIL_PX) as image:
        small = to_rgb(image, path).copy()
        small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    encoded = base64.b64encode(encode_jpeg(np.asarray(small))).decode("ascii")
    return f"data:image/jpeg;base64,{encoded}"
