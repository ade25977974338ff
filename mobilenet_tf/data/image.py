"""One image file of any size and kind as the bytes that a model takes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mobilenet_tf.errors import MtfError, UsageError

_WHITE = (255, 255, 255, 255)
_GREY_16_MAX = 65535


def load_image(path: Path, height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Return the image in a file as uint8 (height_px, width_px, 3), red first.

    The first frame is taken, turned as its EXIF orientation says, what is transparent becomes
    white, greys of 16 and 32 bits are scaled to bytes. Then the largest centred part of the
    model's aspect ratio is resized: bilinear, with antialiasing when it shrinks, as in training.

    Raises:
        UsageError: there is no such file, or it is a folder or no image.
        MtfError: the image is damaged, cut off or far too large, or cannot be read.
    """
    with warnings.catch_warnings():
        # Pillow warns from 89 million pixels on and refuses from twice as many; cameras get there.
        warnings.simplefilter("ignore")
        image = _to_rgb(_open(path), path)
    return np.asarray(_fit(image, height_px, width_px), np.uint8)


def _open(path: Path) -> Image.Image:
    """Return the first frame, decoded and upright."""
    if not path.is_file():
        what = "does not exist"
        if path.is_dir():
            what = "is a folder; name the images in it"
        elif path.exists():
            what = "is no file; name an image file"
        raise UsageError(f"{path} {what}")
    try:
        image: Image.Image = Image.open(path)
        image.load()
    except UnidentifiedImageError as error:
        what = "is no image that can be read" if path.stat().st_size else "is empty"
        raise UsageError(
            f"{path} {what}; give PNG, JPEG, WebP, GIF, BMP or TIFF, or convert it to one"
        ) from error
    except Image.DecompressionBombError as error:
        raise MtfError(
            f"{path} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels;"
            " make a smaller copy of it first"
        ) from error
    except PermissionError as error:
        raise MtfError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    except Exception as error:  # each format's decoder has its own kinds of failure
        raise MtfError(
            f"{path} is a damaged or cut-off image ({_first_line(error)}); copy or save it again"
        ) from error
    return _turn_upright(image)


def _turn_upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF, with many kinds of failure, says nothing on orientation
        return image


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _scale_grey(image).convert("RGB")
    try:
        if "a" not in image.mode.lower() and "transparency" not in image.info:
            return image.convert("RGB")
        if image.mode == "La":  # premultiplied grey: Pillow has no direct way
            image = image.convert("LA")
        image = image.convert("RGBA")
    except ValueError as error:
        raise MtfError(
            f"{path} has the colour mode {image.mode}, which cannot be converted; save it as RGB"
        ) from error
    white = Image.new("RGBA", image.size, _WHITE)
    return Image.alpha_composite(white, image).convert("RGB")


def _scale_grey(image: Image.Image) -> Image.Image:
    """Return deep grey as bytes: 0..65535, or 0..1 for floats; any other range is stretched."""
    values = np.nan_to_num(np.asarray(image, np.float64))
    lowest, highest = float(values.min()), float(values.max())
    full = 1.0 if image.mode == "F" else float(_GREY_16_MAX)
    if lowest >= 0 and highest <= full:
        lowest, highest = 0.0, full
    grey = np.rint((values - lowest) * (255 / ((highest - lowest) or 1.0)))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey.astype(np.uint8))


def _fit(image: Image.Image, height_px: int, width_px: int) -> Image.Image:
    """Crop the largest centred part of the wanted aspect ratio, to whole pixels, and resize it."""
    scale = min(image.width / width_px, image.height / height_px)
    width = min(image.width, max(1, round(width_px * scale)))
    height = min(image.height, max(1, round(height_px * scale)))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    part = image.crop((left, top, left + width, top + height))
    return part.resize((width_px, height_px), Image.Resampling.BILINEAR)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
