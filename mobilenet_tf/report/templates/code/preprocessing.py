# Image files to the bytes that the model takes: upright, RGB, resized, red first.
# Needs numpy and Pillow alone.

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

GREY = (128, 128, 128)


def load_image(path: str | Path, width: int, height: int, rule: str) -> np.ndarray:
    """Return uint8 (height, width, 3) of an image file."""
    with Image.open(path) as image:
        return preprocess(ImageOps.exif_transpose(image), width, height, rule)


def preprocess(image: Image.Image, width: int, height: int, rule: str) -> np.ndarray:
    """Return uint8 (height, width, 3) of an upright image.

    rule: "crop" (the largest centred part), "pad" (the whole between bars of grey) or "stretch".
    """
    image = to_rgb(image)
    columns, rows = image.size
    if rule == "crop":
        scale = min(columns / width, rows / height)
        kept = clip(width * scale, columns), clip(height * scale, rows)
        left, top = (columns - kept[0]) // 2, (rows - kept[1]) // 2
        image = image.crop((left, top, left + kept[0], top + kept[1]))
    elif rule == "pad":
        scale = min(width / columns, height / rows)
        kept = clip(columns * scale, width), clip(rows * scale, height)
        padded = Image.new("RGB", (width, height), GREY)
        corner = (width - kept[0]) // 2, (height - kept[1]) // 2
        padded.paste(image.resize(kept, Image.Resampling.BILINEAR), corner)
        return np.asarray(padded)
    elif rule != "stretch":
        raise ValueError(f"unknown rule {rule!r}; use crop, pad or stretch")
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image in RGB; what is transparent becomes white, 16-bit grey becomes bytes."""
    if image.mode.startswith("I"):
        return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8)).convert("RGB")
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if "a" not in image.mode.lower() and "transparency" not in image.info:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def clip(length: float, most: int) -> int:
    """Return a length rounded to 1..most pixels."""
    return min(most, max(1, round(length)))
