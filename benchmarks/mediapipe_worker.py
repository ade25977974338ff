"""MediaPipe's answers for one file, run by a Python that has MediaPipe and none of ours.

    python benchmarks/mediapipe_worker.py model.tflite images.npz whole

Prints JSON: the version, and for each image (name, index, score) of every class. MediaPipe
stretches the `whole` image to the model's square, or its `centre`.
"""

from __future__ import annotations

import json
import sys

import mediapipe  # type: ignore[import-not-found]
import numpy
from mediapipe.tasks.python import BaseOptions, vision  # type: ignore[import-not-found]
from mediapipe.tasks.python.components.containers.rect import (  # type: ignore[import-not-found]
    RectF,
)


def show_centre(width: int, height: int) -> vision.ImageProcessingOptions:
    """Return options that show MediaPipe the largest centred square of an image."""
    side = min(width, height)
    left, top = (1 - side / width) / 2, (1 - side / height) / 2
    return vision.ImageProcessingOptions(RectF(left, top, 1 - left, 1 - top))


if __name__ == "__main__":
    file, images, part = sys.argv[1:]
    options = vision.ImageClassifierOptions(BaseOptions(model_asset_path=file), max_results=-1)
    answers = []
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for pixels in numpy.load(images).values():
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            shown = show_centre(image.width, image.height) if part == "centre" else None
            (found,) = classifier.classify(image, shown).classifications
            answers.append([(c.category_name, c.index, c.score) for c in found.categories])
    json.dump({"version": mediapipe.__version__, "answers": answers}, sys.stdout)
