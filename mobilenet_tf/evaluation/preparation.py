"""What a file scores on the same photographs when they are prepared in other ways."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np

from mobilenet_tf.data.image import load_alternatives
from mobilenet_tf.data.index import ImageIndex
from mobilenet_tf.data.parallel import map_files
from mobilenet_tf.errors import MtfError
from mobilenet_tf.evaluation.test_time import PredictFn
from mobilenet_tf.recipe import ResizeRule
from mobilenet_tf.runs.results import Preparations
from mobilenet_tf.system.terminal import track

IMAGES_MAX = 1000


def score_preparations(
    predict: PredictFn, index: ImageIndex, side_px: int, rule: ResizeRule
) -> Preparations:
    """Return the accuracy of `predict` on up to 1,000 images of an index, spread over it evenly.

    Images that cannot be read any more are left out.
    """
    rows = np.unique(np.linspace(0, len(index) - 1, IMAGES_MAX).astype(int)).tolist()
    load = partial(load_alternatives, side_px=side_px, rule=rule)
    right: Counter[str] = Counter()
    count = turned = 0
    loaded = map_files(load, map(index.path, rows))
    for row, found in zip(track(rows, "other preparations"), loaded, strict=True):
        if isinstance(found, MtfError):  # since it was stored
            continue
        ways, is_turned = found
        count += 1
        predicted = predict(np.stack(list(ways.values()))).argmax(-1) == index.labels[row]
        right.update(dict(zip(ways, predicted.tolist(), strict=True)))
        turned += is_turned
    return Preparations(
        rule=rule,
        image_count=count,
        turned_count=turned,
        top1={name: hits / max(count, 1) for name, hits in right.items()},
    )
