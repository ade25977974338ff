"""One image file of any size and kind as the bytes that a model takes.

The only way from a file to bytes: training, validation, test and prediction all come here, so that
a model is measured on what it will be shown.
"""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from mobilenet_tf.errors import MtfError, UsageError, first_line
from mobilenet_tf.recipe import RESIZE_RULES, ResizeRule

TURNED = "turned_by_exif"  # in an opened image's `info`: whether EXIF said so
GREY = (128, 128, 128)  # what normalisation makes 0
_WHITE = (255, 255, 255, 255)
_GREY_16_MAX = 65535
_LARGE_PIXELS = 24_000_000  # from here on one image at a time, and JPEGs decoded smaller
_STRIP_PIXELS = 4_000_000  # converted at a time
_SPARE = 4  # a JPEG is decoded smaller only where it stays this much larger than needed
_one_large_image = threading.Lock()
# Pillow warns from 89 million pixels on, which cameras reach, and of every flaw that it gets over.
# For good, as `warnings.catch_warnings` is of no use where threads decode.
warnings.filterwarnings("ignore", module=r"PIL\.")


def load_image(
    path: Path, height_px: int, width_px: int, rule: ResizeRule = "crop"
) -> NDArray[np.uint8]:
    """Return the image in a file as uint8 (height_px, width_px, 3), red first.

    The image is the first frame, turned as its EXIF orientation says, in RGB as `to_rgb` gives it,
    and resized by `rule`: "crop" takes the largest centred part of the model's aspect ratio, "pad"
    the whole image between bars of grey, "stretch" the whole image squeezed. Bilinear, with
    antialiasing when it shrinks. The code that reports and cards print does the same.

    Raises:
        UsageError: there is no such file, or it is a folder or no image.
        MtfError: the image is damaged, cut off or far too large, or cannot be read.
    """
    with open_image(path, needed_px=max(height_px, width_px)) as image:
        return np.asarray(fit_image(to_rgb(image, path), height_px, width_px, rule), np.uint8)


def load_alternatives(
    path: Path, side_px: int, rule: ResizeRule
) -> tuple[dict[str, NDArray[np.uint8]], bool]:
    """Return the square image in a file as several programs may feed it, and if EXIF turns it.

    By name: each rule, "sideways" (`rule`, without that turn) and "bgr" (`rule`, blue first).

    Raises:
        as `load_image` does.
    """
    with open_image(path, needed_px=side_px, upright=False) as image:
        upright = turn_upright(image)
        sideways = fit_image(to_rgb(image, path), side_px, side_px, rule)
        rgb = to_rgb(upright, path)
        fitted = {name: fit_image(rgb, side_px, side_px, name) for name in RESIZE_RULES}
    ways = {name: np.asarray(one) for name, one in (fitted | {"sideways": sideways}).items()}
    return ways | {"bgr": ways[rule][..., ::-1]}, upright.info[TURNED]


@contextlib.contextmanager
def open_image(path: Path, needed_px: int = 0, *, upright: bool = True) -> Iterator[Image.Image]:
    """Yield the first frame of an image file, decoded and upright, in its own colour mode.

    A JPEG of more than 24 million pixels is decoded at a half, a quarter or an eighth of its size
    where that is at least four times `needed_px` (0: at full size). Such images are held one at a
    time: of 179 million pixels, the most that Pillow opens, one takes up to 1.5 GB.

    Raises:
        as `load_image` does.
    """
    with _opened(path) as image:
        large = image.width * image.height > _LARGE_PIXELS
        with _one_large_image if large else contextlib.nullcontext():
            if large and needed_px:
                image.draft(image.mode, (_SPARE * needed_px, _SPARE * needed_px))
            _decode(image, path)
            yield turn_upright(image) if upright else image


class Box(NamedTuple):
    """Which part of an image is shown, and where in the result: slices of pixels."""

    rows: slice
    columns: slice
    target_rows: slice
    target_columns: slice


def fit_box(size: tuple[int, int], target: tuple[int, int], rule: ResizeRule) -> Box:
    """Return how an image of a size becomes one of the target's, both (width, height) in pixels."""
    if rule == "crop":
        scale = min(size[0] / target[0], size[1] / target[1])
        kept, filled = _scale(target, scale, size), target
    elif rule == "pad":
        scale = min(target[0] / size[0], target[1] / size[1])
        kept, filled = size, _scale(size, scale, target)
    else:
        kept, filled = size, target
    columns, rows = map(_centre, kept, size)
    return Box(rows, columns, *reversed(list(map(_centre, filled, target))))


def fit_image(
    image: Image.Image, height_px: int, width_px: int, rule: ResizeRule = "crop"
) -> Image.Image:
    """Return an image resized by a rule of `load_image`."""
    box = fit_box(image.size, (width_px, height_px), rule)
    left, top, right, bottom = box.columns.start, box.rows.start, box.columns.stop, box.rows.stop
    if (right - left, bottom - top) != image.size:  # a crop is a copy, and the whole may be huge
        image = image.crop((left, top, right, bottom))
    x, y = box.target_columns, box.target_rows
    resized = image.resize((x.stop - x.start, y.stop - y.start), Image.Resampling.BILINEAR)
    if resized.size == (width_px, height_px):
        return resized
    padded = Image.new("RGB", (width_px, height_px), GREY)
    padded.paste(resized, (x.start, y.start))
    return padded


def encode_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Return an image, uint8 (H, W, 3), as a JPEG file."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=80)
    return content.getvalue()


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return an image, uint8 (H, W, 3), as a PNG file: the same pixels."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def _scale(size: tuple[int, int], scale: float, most: tuple[int, int]) -> tuple[int, int]:
    width, height = (min(m, max(1, round(s * scale))) for s, m in zip(size, most, strict=True))
    return width, height


def _centre(length: int, whole: int) -> slice:
    start = (whole - length) // 2
    return slice(start, start + length)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Yield an image file of which the header alone has been read."""
    if not path.is_file():
        what = "does not exist"
        if path.is_dir():
            what = "is a folder; name the images in it"
        elif path.exists():
            what = "is no file; name an image file"
        raise UsageError(f"{path} {what}")
    try:
        image = Image.open(path)
    except Exception as error:  # each format's decoder has its own kinds of failure
        raise _explain(error, path) from error
    with image:
        yield image


def _decode(image: Image.Image, path: Path) -> None:
    try:
        image.load()
    except Exception as error:  # as above
        raise _explain(error, path) from error


def _explain(error: Exception, path: Path) -> MtfError:
    if isinstance(error, UnidentifiedImageError):
        what = "is no image that can be read" if path.stat().st_size else "is empty"
        return UsageError(
            f"{path} {what}; give PNG, JPEG, WebP, GIF, BMP or TIFF, or convert it to one"
        )
    if isinstance(error, Image.DecompressionBombError):
        return MtfError(
            f"{path} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels;"
            " make a smaller copy of it first"
        )
    if isinstance(error, PermissionError):
        return MtfError(f"cannot read {path}: {error.strerror}; check its permissions")
    return MtfError(
        f"{path} is a damaged or cut-off image ({first_line(error)[:200]}); copy or save it again"
    )


def turn_upright(image: Image.Image) -> Image.Image:
    """Return an image as its EXIF orientation says it is to be seen; `info[TURNED]` tells if so."""
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
        upright: Image.Image = ImageOps.exif_transpose(image) if turned else image
    except Exception:  # damaged EXIF, with many kinds of failure, says nothing on orientation
        turned, upright = False, image
    upright.info[TURNED] = turned
    return upright


def to_rgb(image: Image.Image, path: Path) -> Image.Image:
    """Return an image as RGB: transparent becomes white, deep greys are scaled to bytes.

    It goes strip by strip: beside the image and the result, 8 bytes a pixel, little is needed.

    Raises:
        MtfError: there is no way from its colour mode to RGB.
    """
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    is_deep = image.mode.startswith("I;16") or image.mode in ("I", "F")
    ends = _find_grey_ends(image) if is_deep else (0.0, 0.0)
    rgb = Image.new("RGB", image.size)
    for top, strip in _cut_strips(image):
        rgb.paste(_scale_grey(strip, *ends) if is_deep else _strip_to_rgb(strip, path), (0, top))
    return rgb


def _cut_strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yield an image in strips of four million pixels, each with the row where it begins."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(top + rows, height)))


def _strip_to_rgb(image: Image.Image, path: Path) -> Image.Image:
    try:
        if not image.has_transparency_data:
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


def _find_grey_ends(image: Image.Image) -> tuple[float, float]:
    """Return what deep grey scales to 0 and 255: 0..65535, 0..1 of floats, else what it has."""
    ends = []
    for _, strip in _cut_strips(image):
        values = np.nan_to_num(np.asarray(strip, np.float64))
        ends += [float(values.min()), float(values.max())]
    lowest, highest = min(ends), max(ends)
    full = 1.0 if image.mode == "F" else float(_GREY_16_MAX)
    return (0.0, full) if lowest >= 0 and highest <= full else (lowest, highest)


def _scale_grey(image: Image.Image, lowest: float, highest: float) -> Image.Image:
    values = np.nan_to_num(np.asarray(image, np.float64))
    grey = np.rint((values - lowest) * (255 / ((highest - lowest) or 1.0)))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
