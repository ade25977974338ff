"""Classify image files: python classify.py cat.jpg dog.png

Needs numpy, Pillow and ai-edge-litert. `python classify.py` alone tests this machine.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from preprocessing import load_image, preprocess

FOLDER = Path(__file__).parent


class Classifier:
    """The model: images in, classes with their probabilities out."""

    def __init__(self) -> None:
        self.description = json.loads((FOLDER / "model.json").read_text("utf-8"))
        self.interpreter = Interpreter(str(FOLDER / "model.tflite"))
        self.interpreter.allocate_tensors()
        size = self.description["input"]
        self.size = size["width"], size["height"], self.description["resize"]

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Return the output as it is in the file, one byte a class, of uint8 (H, W, 3) pixels."""
        self.interpreter.set_tensor(self.interpreter.get_input_details()[0]["index"], pixels[None])
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.interpreter.get_output_details()[0]["index"])[0]

    def classify(self, path: str) -> list[tuple[str, float]]:
        """Return the classes of an image file, the most probable first."""
        output = self.description["output"]
        raw = self.run(load_image(path, *self.size)).astype(np.float64)
        scores = (raw - output["zero_point"]) * output["scale"]
        if output["kind"] == "logits":
            powers = np.exp(scores - scores.max())
            scores = powers / powers.sum()
        names = self.description["classes"]
        return [(names[i], float(scores[i])) for i in np.argsort(-scores, kind="stable")]

    def find_faults(self) -> list[str]:
        """Compare this machine with the one that made the model, image by image."""
        document = json.loads((FOLDER / "selftest.json").read_text("utf-8"))
        faults = []
        for image in document["images"]:
            picture = Image.open(io.BytesIO(base64.b64decode(image["png"])))
            pixels = preprocess(picture, *self.size)
            if pixels.tobytes() != base64.b64decode(image["input"]):
                faults.append(f"{image['name']}: other bytes; Pillow 13 makes the same")
            output = self.run(pixels)
            steps = int(np.abs(output.astype(int) - image["output"]).max())
            if steps > document["tolerance"] or output.argmax() != image["top"]:
                faults.append(f"{image['name']}: the output is {steps} steps off")
        return faults


if __name__ == "__main__":
    classifier = Classifier()
    for name in sys.argv[1:]:
        best, probability = classifier.classify(name)[0]
        unsure = "\tunsure" if probability < (classifier.description["threshold"] or 0) else ""
        print(f"{name}\t{best}\t{probability:.3f}{unsure}")
    if not sys.argv[1:]:
        faults = classifier.find_faults()
        print("\n".join(faults) or "self-test passed")
        sys.exit(1 if faults else 0)
