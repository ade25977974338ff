"""Images with the bytes and outputs expected of them: an app checks itself with them at start."""

from __future__ import annotations

import base64
from operator import itemgetter
from typing import Any

import numpy as np
from PIL import Image

from mobilenet_tf.data.image import encode_png, fit_image
from mobilenet_tf.recipe import ResizeRule
from mobilenet_tf.tflite.interpreter import Classifier

# Steps of a byte that an output may differ by; kernels other than XNNPACK's were up to 14 off.
TOLERANCE = 16
DRAWS = 40  # of an image, until its class is clear
SIZES = ((96, 64), (61, 107), (128, 128), (33, 200), (320, 90), (48, 48))  # (width, height)


def make_selftest(classifier: Classifier, rule: ResizeRule) -> dict[str, Any]:
    """Return the document `selftest.json` for a uint8 classifier: PNGs, input and output bytes.

    An app must find the same class first. So images are taken in which no difference that is
    allowed makes another one first, or else the clearest ones of `DRAWS`.
    """
    chosen = [_choose(classifier, rule, number, size) for number, size in enumerate(SIZES)]
    return {
        "tolerance": TOLERANCE,
        "images": [
            {
                "name": f"image {number} of {image.width} x {image.height}",
                "png": _encode(encode_png(np.asarray(image))),
                "input": _encode(given.tobytes()),
                "output": output.tolist(),
                "top": int(output.argmax()),
            }
            for number, (image, given, output) in enumerate(chosen, 1)
        ],
    }


def _choose(
    classifier: Classifier, rule: ResizeRule, number: int, size: tuple[int, int]
) -> tuple[Image.Image, np.ndarray, np.ndarray]:
    """Return the clearest image of a size, or the first that is clear enough, with its bytes."""
    height, width, _ = classifier.input_shape
    drawn = []
    for attempt in range(DRAWS):
        image = draw(number + len(SIZES) * attempt, size)
        given = np.asarray(fit_image(image, height, width, rule))
        output = classifier.predict_raw(given[np.newaxis], batch_size=1)[0]
        second, first = np.sort(output)[-2:].tolist()
        drawn.append((first - second, (image, given, output)))
        if first - second > 2 * TOLERANCE:
            break
    return max(drawn, key=itemgetter(0))[1]


def draw(seed: int, size: tuple[int, int]) -> Image.Image:
    """Return an image of soft colours and hard edges, the same for a seed everywhere."""
    rng = np.random.Generator(np.random.PCG64(seed))
    width, height = size
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    pixels = np.array(coarse.resize(size, Image.Resampling.BICUBIC))
    y, x = np.mgrid[:height, :width]
    for colour in rng.integers(0, 256, (3, 3), np.uint8):
        centre_x, centre_y = rng.integers(0, width), rng.integers(0, height)
        radius = int(rng.integers(4, 4 + min(size) // 3))
        pixels[(x - centre_x) ** 2 + (y - centre_y) ** 2 < radius**2] = colour
    return Image.fromarray(pixels)


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
