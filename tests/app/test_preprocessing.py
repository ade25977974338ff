"""One preprocessing on every platform: the same bytes from Python, JavaScript and Kotlin.

`python tests/app/test_preprocessing.py` writes the vectors anew.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import runpy
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL
import pytest
from PIL import Image

from chromium import open_page, to_base64
from mobilenet_tf.app.project import TEMPLATES
from mobilenet_tf.app.selftest import draw as draw_soft
from mobilenet_tf.data.image import RESIZE_RULES, fit_image, load_image
from mobilenet_tf.report.templates import TEMPLATES as REPORT_TEMPLATES

VECTORS = TEMPLATES / "shared" / "preprocessing.tsv"
HEADER = "width\theight\tinput_width\tinput_height\trule\torientation\tsha256"
SIZES = (
    *((1, 1), (1, 7), (9, 1), (32, 32), (33, 31), (17, 64), (100, 75), (75, 100)),
    *((224, 224), (131, 257), (640, 33)),
)
INPUTS = ((32, 32), (24, 40), (96, 96))
TURNS = (None, 0, 3, 1, 5, 4, 6, 2)  # Pillow's transposition of EXIF orientations 1 to 8
PHOTOS, MOST_PX, BATCH = 1000, 2000, 50
needs_pillow_13 = pytest.mark.skipif(
    int(PIL.__version__.partition(".")[0]) < 13,
    reason="older Pillows take rows first where version 13 takes columns first: a step of 1",
)


def draw(width: int, height: int) -> Image.Image:
    """Return an image that every platform can make: bits 16 to 23 of i * 2654435761 + 12345."""
    numbers = np.arange(4 * width * height, dtype=np.uint64) * 2654435761 + 12345
    pixels = ((numbers & 0xFFFFFFFF) >> 16).astype(np.uint8).reshape(height, width, 4)
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, :3]))


def make_vectors() -> Iterator[str]:
    """Yield the lines of the file of vectors."""
    yield HEADER
    cases = itertools.product(INPUTS, SIZES, RESIZE_RULES)
    for number, ((input_width, input_height), (width, height), rule) in enumerate(cases):
        orientation = 1 + number % 8
        image, turn = draw(width, height), TURNS[orientation - 1]
        upright = image if turn is None else image.transpose(Image.Transpose(turn))
        content = np.asarray(fit_image(upright, input_height, input_width, rule)).tobytes()
        fields = (width, height, input_width, input_height, rule, orientation)
        yield "\t".join(map(str, (*fields, hashlib.sha256(content).hexdigest())))


class Case(NamedTuple):
    """Decoded pixels, as they lie in a file of RGBA, and the hash of what the model is given."""

    pixels: Path
    width: int
    height: int
    size: tuple[int, int]
    rule: str
    orientation: int
    sha256: str


def make_case(folder: Path, number: int, image: Image.Image, *expected: Any) -> Case:
    """Return a case whose pixels are written to a folder."""
    pixels = folder / f"{number}.rgba"
    pixels.write_bytes(image.convert("RGBA").tobytes())
    return Case(pixels, *image.size, *expected)


def format_cases(cases: Sequence[Case]) -> str:
    """Return what the programs below read."""
    lines = ((c.pixels, c.width, c.height, *c.size, c.rule, c.orientation) for c in cases)
    return "\n".join("\t".join(map(str, line)) for line in lines)


def find_others(cases: Sequence[Case], hashes: str) -> list[Case]:
    """Return the cases that a program gave other bytes for."""
    pairs = zip(cases, hashes.split(), strict=True)
    return [case for case, sha256 in pairs if case.sha256 != sha256]


@needs_pillow_13
def test_the_vectors_are_what_training_makes() -> None:
    assert VECTORS.read_text("utf-8").splitlines() == list(make_vectors())


NODE_CHECK = """
import {{ createHash }} from "node:crypto";
import {{ readFileSync }} from "node:fs";
import {{ preprocess }} from {module!r};
for (const line of readFileSync(0, "utf8").trim().split("\\n")) {{
  const [file, width, height, inputWidth, inputHeight, rule, orientation] = line.split("\\t");
  const size = {{ width: +inputWidth, height: +inputHeight }};
  const bytes = preprocess(readFileSync(file), +width, +height, size, rule, +orientation);
  console.log(createHash("sha256").update(bytes).digest("hex"));
}}
"""
CHROMIUM_CHECK = """
async (cases) => {
  const { preprocess } = await import("./preprocessing.mjs");
  const { decodeImage, readPixels } = await import("./classifier.mjs");
  const hashes = [];
  for (const [jpeg, width, height, rule] of cases) {
    const bytes = Uint8Array.from(atob(jpeg), (c) => c.charCodeAt(0));
    const bitmap = await decodeImage(new Blob([bytes]));
    const pixels = readPixels(bitmap, bitmap.width, bitmap.height);
    const prepared = preprocess(pixels.data, pixels.width, pixels.height, { width, height }, rule);
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", prepared));
    hashes.push(Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join(""));
  }
  return hashes;
}
"""


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Return the vectors as cases."""
    folder, cases = tmp_path_factory.mktemp("vectors"), []
    for number, line in enumerate(VECTORS.read_text("utf-8").splitlines()[1:]):
        width, height, input_width, input_height, rule, orientation, sha256 = line.split("\t")
        size = int(input_width), int(input_height)
        image = draw(int(width), int(height))
        cases.append(make_case(folder, number, image, size, rule, int(orientation), sha256))
    return cases


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Return the cases of 1,000 JPEGs of every size and kind, which lie beside their pixels."""
    folder, rng, cases = tmp_path_factory.mktemp("photos"), np.random.default_rng(1), []
    for number in range(PHOTOS):
        width, height = np.exp(rng.uniform(0, np.log(MOST_PX), 2)).astype(int).tolist()
        image = draw_soft(number, (max(3, width), max(3, height))).crop((0, 0, width, height))
        if number % 10 == 0:
            image = image.convert("L")
        exif, orientation = Image.Exif(), int(rng.integers(1, 9))
        exif[0x0112] = orientation
        file = folder / f"{number}.jpg"
        quality, subsampling = int(rng.integers(50, 96)), int(rng.integers(0, 3))
        kinds = {} if image.mode == "L" else {"subsampling": subsampling}
        image.save(file, exif=exif, quality=quality, progressive=number % 2 == 0, **kinds)
        size, rule = INPUTS[number % 3], RESIZE_RULES[number // 3 % 3]
        sha256 = hashlib.sha256(load_image(file, size[1], size[0], rule).tobytes()).hexdigest()
        with Image.open(file) as decoded:
            cases.append(make_case(folder, number, decoded, size, rule, orientation, sha256))
    return cases


def test_the_photos_are_of_every_kind(photos: list[Case]) -> None:
    assert {case.orientation for case in photos} == set(range(1, 9))
    assert {(case.size, case.rule) for case in photos} == set(
        itertools.product(INPUTS, RESIZE_RULES)
    )
    ratios = [case.width / case.height for case in photos]
    assert min(ratios) < 1 / 50 < 50 < max(ratios)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize("kind", ["vectors", pytest.param("photos", marks=pytest.mark.slow)])
def test_javascript_makes_the_same_bytes(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    cases = request.getfixturevalue(kind)
    script = tmp_path / "check.mjs"
    script.write_text(NODE_CHECK.format(module=str(TEMPLATES / "web" / "preprocessing.mjs")))
    done = subprocess.run(
        [str(shutil.which("node")), script],
        input=format_cases(cases),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert find_others(cases, done.stdout) == []


@pytest.mark.slow
def test_chromium_decodes_and_makes_the_same_bytes(
    photos: list[Case], web_files: dict[str, bytes]
) -> None:
    found: list[str] = []
    with open_page(web_files) as page:
        page.goto("/")
        for start in range(0, PHOTOS, BATCH):
            given = [
                (to_base64(case.pixels.with_suffix(".jpg").read_bytes()), *case.size, case.rule)
                for case in photos[start : start + BATCH]
            ]
            found += page.evaluate(CHROMIUM_CHECK, given)
    assert find_others(photos, "\n".join(found)) == []


@pytest.mark.slow
def test_the_python_of_apps_makes_the_same_bytes(photos: list[Case]) -> None:
    load = runpy.run_path(str(REPORT_TEMPLATES / "code" / "preprocessing.py"))["load_image"]
    images = (load(case.pixels.with_suffix(".jpg"), *case.size, case.rule) for case in photos)
    hashes = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    assert find_others(photos, "\n".join(hashes)) == []


@pytest.mark.slow
def test_kotlin_makes_the_same_bytes_and_reads_the_output(
    run_kotlin: Callable[[str], str], vectors: list[Case], photos: list[Case]
) -> None:
    cases = vectors + photos
    scores, _, hashes = run_kotlin(format_cases(cases)).partition("\n")
    assert scores == "b 0.5, c 0.4609375, a 0.0390625 true"
    assert find_others(cases, hashes) == []


def test_the_stub_of_resources_has_every_string() -> None:
    strings = (TEMPLATES / "android/app/src/main/res/values/strings.xml.jinja").read_text("utf-8")
    stub = (Path(__file__).parent / "stubs" / "resources.kt").read_text("utf-8")
    names = set(re.findall(r'name="(\w+)"', strings)) - {"app_name"}
    assert names == set(re.findall(r"val (\w+)", stub))


if __name__ == "__main__":
    VECTORS.write_text("\n".join(make_vectors()) + "\n", "utf-8")
