from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mobilenet_tf.data.image import fit_image, load_alternatives, load_image, open_image, to_rgb
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.recipe import RESIZE_RULES

RED = (255, 0, 0)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def quadrants(width: int, height: int) -> Image.Image:
    """Red, green / blue, black: every turn and mirroring shows."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2, 0] = 255
    pixels[: height // 2, width // 2 :, 1] = 255
    pixels[height // 2 :, : width // 2, 2] = 255
    return Image.fromarray(pixels)


def test_an_image_of_the_models_size_keeps_every_byte(tmp_path: Path) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (24, 32, 3)).astype(np.uint8)
    path = save(tmp_path / "a.png", Image.fromarray(pixels))
    loaded = load_image(path, 24, 32)
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, pixels)


@pytest.mark.parametrize(
    ("size", "target"), [((90, 30), (30, 30)), ((30, 90), (30, 30)), ((30, 91), (10, 20))]
)
def test_the_centre_is_cropped_to_the_models_aspect(
    tmp_path: Path, size: tuple[int, int], target: tuple[int, int]
) -> None:
    width, height = size
    height_px, width_px = target
    scale = min(width / width_px, height / height_px)
    kept_x, kept_y = int(width_px * scale), int(height_px * scale)
    pixels = np.zeros((height, width, 3), np.uint8)
    top, left = (height - kept_y) // 2, (width - kept_x) // 2
    pixels[top : top + kept_y, left : left + kept_x] = 200
    loaded = load_image(save(tmp_path / "a.png", Image.fromarray(pixels)), *target)
    assert loaded.shape == (*target, 3)
    assert (loaded == 200).all()


def test_shrinking_averages_instead_of_skipping_pixels(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[::2] = 255  # plain bilinear at a quarter of the size would see one kind of line only
    loaded = load_image(save(tmp_path / "a.png", Image.fromarray(pixels)), 16, 16)
    assert abs(loaded.astype(int) - 128).max() < 16


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 500), (500, 1), (7, 3), (333, 777)])
def test_any_size_is_taken(tmp_path: Path, width: int, height: int) -> None:
    path = save(tmp_path / "a.png", Image.new("RGB", (width, height), (10, 20, 30)))
    assert (load_image(path, 33, 47) == (10, 20, 30)).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 8, 4))
    if mode == "P":
        image = Image.fromarray(np.repeat(np.uint8([[0], [1]]), 4, axis=0).repeat(8, axis=1))
        image.putpalette([0, 0, 0, 0, 0, 0])  # both entries black, the second one transparent
        path = save(tmp_path / "a.png", image, transparency=1)
    else:
        path = save(tmp_path / "a.png", image.convert(mode))
    loaded = load_image(path, 8, 8)
    assert (loaded[:4] == 0).all()
    assert (loaded[4:] == 255).all()


def test_half_transparent_is_mixed_with_white(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.new("RGBA", (4, 4), (255, 0, 0, 128)))
    np.testing.assert_allclose(load_image(path, 4, 4)[0, 0], (255, 127, 127), atol=1)


def test_a_transparent_colour_without_an_alpha_channel_becomes_white(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.new("RGB", (4, 4), (1, 2, 3)), transparency=(1, 2, 3))
    assert (load_image(path, 4, 4) == 255).all()


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    grey = np.array([[0, 257, 32896, 65535]], np.uint16).repeat(4, axis=0)
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(grey))
    assert load_image(path, 4, 4)[0].tolist() == [[v] * 3 for v in (0, 1, 128, 255)]


def test_float_grey_is_scaled(tmp_path: Path) -> None:
    unit = np.array([[0, 0.5, 1, np.nan]], np.float32).repeat(4, axis=0)
    path = save(tmp_path / "a.tiff", Image.fromarray(unit))
    assert load_image(path, 4, 4)[0, :, 0].tolist() == [0, 128, 255, 0]
    wide = np.array([[-100, 0, 140, 300]], np.float32).repeat(4, axis=0)
    path = save(tmp_path / "b.tiff", Image.fromarray(wide))
    assert load_image(path, 4, 4)[0, :, 0].tolist() == [0, 64, 153, 255]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "jpg" if mode in ("CMYK", "YCbCr") else "png"
    path = save(tmp_path / f"a.{suffix}", Image.new("RGB", (16, 16), "white").convert(mode))
    assert Image.open(path).mode == ("RGB" if mode == "YCbCr" else mode)
    assert (load_image(path, 16, 16) >= 254).all()


def test_cmyk_keeps_its_colour(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)))
    np.testing.assert_allclose(load_image(path, 16, 16)[8, 8], RED, atol=3)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_exif_orientation_is_undone(
    tmp_path: Path, orientation: int, stored: Image.Transpose | None
) -> None:
    upright = quadrants(16, 16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = upright if stored is None else upright.transpose(stored)
    path = save(tmp_path / "a.png", image, exif=exif)
    np.testing.assert_array_equal(load_image(path, 16, 16), np.asarray(upright))


def test_damaged_exif_does_not_matter(tmp_path: Path) -> None:
    path = save(
        tmp_path / "a.png", Image.new("RGB", (8, 8), RED), exif=b"Exif\0\0MM\0*\xff\xff\xff"
    )
    assert (load_image(path, 8, 8) == RED).all()


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_the_first_frame_of_an_animation_is_taken(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    path = save(
        tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], duration=50
    )
    with Image.open(path) as image:
        assert image.n_frames == 3
    np.testing.assert_allclose(load_image(path, 8, 8)[4, 4], RED, atol=4)


def bomb(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def test_a_decompression_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(60_000))
    with pytest.raises(MtfError, match=r"bomb\.png has more than \d+ million pixels.*smaller"):
        load_image(path, 32, 32)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff", "gif"])
def test_an_image_cut_off_anywhere_never_ends_in_another_error(tmp_path: Path, suffix: str) -> None:
    noise = np.random.RandomState(1).randint(0, 256, (40, 40, 3)).astype(np.uint8)
    whole = save(tmp_path / f"whole.{suffix}", Image.fromarray(noise)).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    failures = 0
    for share in range(1, 20):
        path.write_bytes(whole[: len(whole) * share // 20])
        try:
            load_image(path, 8, 8)
        except MtfError as error:
            failures += str(path) in str(error)
    assert failures >= (1 if suffix == "gif" else 18)  # Pillow shows what there is of a GIF


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.png", b"", "is empty"),
        ("words.png", b"these are words, not an image", "is no image"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "convert it"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        load_image(path, 32, 32)
    assert str(path) in str(caught.value)


def test_a_missing_image_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cat\.png does not exist"):
        load_image(tmp_path / "cat.png", 32, 32)
    with pytest.raises(UsageError, match="is a folder"):
        load_image(tmp_path, 32, 32)


@pytest.mark.parametrize(("width", "height"), [(90, 30), (30, 90)])
def test_padding_keeps_the_whole_image_between_grey_bars(
    tmp_path: Path, width: int, height: int
) -> None:
    path = save(tmp_path / "a.png", Image.new("RGB", (width, height), RED))
    loaded = load_image(path, 30, 30, "pad")
    if height > width:
        loaded = loaded.transpose(1, 0, 2)
    assert (loaded[:10] == 128).all()
    assert (loaded[10:20] == RED).all()
    assert (loaded[20:] == 128).all()


def test_stretching_shows_all_of_the_image(tmp_path: Path) -> None:
    loaded = load_image(save(tmp_path / "a.png", quadrants(80, 20)), 20, 20, "stretch")
    assert loaded[2, 2].tolist() == [255, 0, 0]
    assert loaded[2, -2].tolist() == [0, 255, 0]
    assert loaded[-2, 2].tolist() == [0, 0, 255]


@pytest.mark.parametrize("rule", ["crop", "pad", "stretch"])
def test_every_rule_leaves_a_square_image_of_the_models_size_alone(
    tmp_path: Path, rule: Any
) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (24, 24, 3)).astype(np.uint8)
    path = save(tmp_path / "a.png", Image.fromarray(pixels))
    np.testing.assert_array_equal(load_image(path, 24, 24, rule), pixels)


def test_an_image_is_also_loaded_as_careless_programs_do(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.png", quadrants(40, 20), exif=exif)
    ways, turned = load_alternatives(path, 16, "pad")
    assert turned
    assert set(ways) == {*RESIZE_RULES, "sideways", "bgr"}
    for rule in RESIZE_RULES:
        np.testing.assert_array_equal(ways[rule], load_image(path, 16, 16, rule))
    np.testing.assert_array_equal(ways["bgr"][..., ::-1], ways["pad"])
    plain = save(tmp_path / "b.png", quadrants(40, 20))
    np.testing.assert_array_equal(ways["sideways"], load_image(plain, 16, 16, "pad"))
    assert not load_alternatives(plain, 16, "pad")[1]


@pytest.mark.slow
def test_a_huge_jpeg_is_decoded_smaller_and_looks_the_same(tmp_path: Path) -> None:
    huge = quadrants(16, 16).resize((6000, 5000), Image.Resampling.BICUBIC)
    path = save(tmp_path / "a.jpg", huge, quality=90)
    with open_image(path, needed_px=96) as image:
        assert image.size == (750, 625)
    with open_image(path) as image:
        assert image.size == (6000, 5000)
        exact = np.asarray(fit_image(image, 96, 96), int)
    difference = np.abs(load_image(path, 96, 96).astype(int) - exact)
    assert difference.max() <= 8  # at the edges between colours
    assert difference.mean() < 0.5


@pytest.mark.parametrize("mode", ["I;16", "F", "RGBA", "LA", "P"])
def test_a_huge_image_is_converted_in_strips(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.RandomState(0)
    if mode == "P":
        image = Image.fromarray(random.randint(0, 256, (50, 60, 3)).astype(np.uint8)).quantize(9)
        image.info["transparency"] = 3
    else:
        shape = (50, 60, *([4] if mode == "RGBA" else [2] if mode == "LA" else []))
        kind = {"I;16": np.uint16, "F": np.float32}.get(mode, np.uint8)
        image = Image.fromarray((random.rand(*shape) * 300 - 20).clip(0).astype(kind))
    whole = np.asarray(to_rgb(image, Path("image")))
    monkeypatch.setattr("mobilenet_tf.data.image._STRIP_PIXELS", 60 * 7)
    np.testing.assert_array_equal(np.asarray(to_rgb(image, Path("image"))), whole)
