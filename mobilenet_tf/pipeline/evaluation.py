"""What `mtf evaluate` is about: the file that is meant, and the images that it has not seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mobilenet_tf.data.folder import index_images
from mobilenet_tf.data.index import PARTS, TEST, TRAIN, VALIDATION, ImageIndex
from mobilenet_tf.data.partition import SPLIT_FILE, restore_split
from mobilenet_tf.errors import UsageError
from mobilenet_tf.runs.folder import RunFolder


def choose_images(model: Path, images: Path | None, part: str | None) -> tuple[ImageIndex, str]:
    """Return the images that a model is evaluated on, and the parts of their folder that these are.

    Without `images`, a run's own. Of these, and of any folder that is split, `part` is taken; None
    stands for what was not trained on where that is known, "all" for everything.

    Raises:
        UsageError: there are no such images, or the part has none.
    """
    run = RunFolder(model)
    own = Path(run.load_recipe().data.path) if run.has_recipe() else None
    origin = images or own
    if origin is None or origin == Path():
        raise UsageError(f"there are no images to evaluate {model} on; name a folder of them")
    index = index_images(origin, to_train=False)
    if own is not None and origin.resolve() == own.resolve():
        parts = restore_split(index, run.stage("train") / SPLIT_FILE)
        index = replace(index, parts=np.where(parts < 0, TEST, parts).astype(np.int8))  # new ones
        held_out = index.parts != TRAIN
    else:
        best = next((p for p in (TEST, VALIDATION) if index.has(p)), TRAIN)
        held_out = index.parts == best
    if part is None:
        chosen = held_out
    else:
        chosen = np.full(len(index), True) if part == "all" else index.parts == PARTS.index(part)
    if not chosen.any():
        raise UsageError(f"{origin} has no {part or 'held-out'} images; choose another --part")
    names = [name for number, name in enumerate(PARTS) if (index.parts[chosen] == number).any()]
    return index.keep(chosen), "" if set(index.parts) == {TRAIN} else " and ".join(names)
