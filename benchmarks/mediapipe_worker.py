"""MediaPipe's answers for one file, run by a Python that has MediaPipe and none of ours.

    python benchmarks/mediapipe_worker.py model.tflite images.npy

Prints JSON: the version, and for each image (name, index, score) of every class.
"""

from __future__ import annotations

import json
import sys

import mediapipe  # type: ignore[import-not-found]
import numpy
from mediapipe.tasks.python import BaseOptions, vision  # type: ignore[import-not-found]

if __name__ == "__main__":
    file, images = sys.argv[1:]
    options = vision.ImageClassifierOptions(BaseOptions(model_asset_path=file), max_results=-1)
    answers = []
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for pixels in numpy.load(images):
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            (found,) = classifier.classify(image).classifications
            answers.append(
                [(each.category_name, each.index, each.score) for each in found.categories]
            )
    json.dump({"version": mediapipe.__version__, "answers": answers}, sys.stdout)
