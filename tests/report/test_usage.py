"""The code that a report prints prepares images byte for byte as training and prediction do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from mobilenet_tf.data.image import load_image
from mobilenet_tf.recipe import RESIZE_RULES, replace_settings
from mobilenet_tf.report.summary import summarise
from mobilenet_tf.report.usage import python_example

SIZES = ((64, 64), (37, 91), (91, 37), (333, 200), (1, 200), (200, 1), (5, 7))


def make_images() -> dict[str, tuple[Image.Image, dict[str, object]]]:
    """Return images of many sizes, turns and modes, and how each is saved."""
    random = np.random.RandomState(1)
    made = {}
    for width, height in SIZES:
        pixels = random.randint(0, 256, (height, width, 4)).astype(np.uint8)
        image = Image.fromarray(pixels)
        made[f"{width}x{height}"] = image.convert("RGB"), {"format": "PNG"}
        for mode in ("L", "1", "LA", "RGBA"):
            made[f"{mode} {width}x{height}"] = image.convert(mode), {"format": "PNG"}
    odd = made["37x91"][0]
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        made[f"turned {orientation}"] = odd, {"format": "JPEG", "exif": exif}
    made["CMYK"] = odd.convert("CMYK"), {"format": "JPEG"}
    made["palette"] = odd.quantize(16), {"format": "PNG"}
    made["palette, transparent"] = odd.quantize(16), {"format": "PNG", "transparency": 3}
    made["RGB, transparent"] = odd, {"format": "PNG", "transparency": odd.getpixel((5, 9))}
    deep = random.randint(0, 65536, (19, 23)).astype(np.uint16)
    made["16 bit"] = Image.fromarray(deep), {"format": "PNG"}
    return made


@pytest.mark.parametrize("rule", RESIZE_RULES)
def test_the_printed_code_prepares_images_as_training_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record, rule
) -> None:
    changes = {"data.resize": rule, "model.resolution_px": 33}
    record = msgspec.structs.replace(record, recipe=replace_settings(record.recipe, changes))
    program = python_example(summarise(record))
    end = program.index("interpreter = ")
    monkeypatch.chdir(tmp_path)
    for name, (image, options) in make_images().items():
        image.save("image.jpg", **options)
        prepared: dict[str, Any] = {}
        exec(program[:end], prepared)  # noqa: S102  # what is tested
        loaded = load_image(Path("image.jpg"), 33, 33, rule)
        np.testing.assert_array_equal(prepared["pixels"][0], loaded, name)
