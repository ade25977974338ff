"""Images with the bytes and outputs expected of them: an app checks itself with them at start."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from PIL import Image

from mobilenet_tf.data.image import encode_png, fit_image
from mobilenet_tf.recipe import ResizeRule
from mobilenet_tf.tflite.interpreter import Classifier

# Steps of a byte that an output may differ by; kernels other than XNNPACK's were up to 14 off.
TOLERANCE = 16
SIZES = ((96, 64), (61, 107), (128, 128), (33, 200), (320, 90), (48, 48))  # (width, height)


def make_selftest(classifier: Classifier, rule: ResizeRule) -> dict[str, Any]:
    """Return the document `selftest.json` for a uint8 classifier: PNGs, input and output bytes."""
    height, width, _ = classifier.input_shape
    images = [draw(seed, size) for seed, size in enumerate(SIZES)]
    inputs = np.stack([np.asarray(fit_image(image, height, width, rule)) for image in images])
    outputs = classifier.predict_raw(inputs, batch_size=1)
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
            for number, (image, given, output) in enumerate(
                zip(images, inputs, outputs, strict=True), 1
            )
        ],
    }


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
