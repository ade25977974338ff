"""One preprocessing on every platform: the same bytes from Python, JavaScript and Kotlin.

`python tests/app/test_preprocessing.py` writes the vectors anew.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import PIL
import pytest
from PIL import Image

from mobilenet_tf.app.project import TEMPLATES
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
STUBS = Path(__file__).parent / "stubs"  # of the Android types that the app uses
KOTLIN = "KOTLIN_COMPILER"  # folder of the npm package kotlin-compiler
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


def load_example() -> ModuleType:
    """Return the Python module that apps get."""
    path = REPORT_TEMPLATES / "code" / "preprocessing.py"
    spec = importlib.util.spec_from_file_location("example_preprocessing", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_pillow_13
def test_the_vectors_are_what_training_makes() -> None:
    assert VECTORS.read_text("utf-8").splitlines() == list(make_vectors())


@pytest.mark.parametrize("rule", RESIZE_RULES)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK"])
def test_the_python_of_apps_reads_files_as_training_does(
    tmp_path: Path, rule: str, mode: str
) -> None:
    example, image = load_example(), draw(61, 40).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / ("image.tiff" if mode == "CMYK" else "image.png")
    image.save(path, exif=exif)
    given = example.load_image(path, 32, 24, rule)
    np.testing.assert_array_equal(given, load_image(path, 24, 32, rule))


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_javascript_makes_the_same_bytes(tmp_path: Path) -> None:
    script = tmp_path / "check.mjs"
    script.write_text(
        f"""
import {{ createHash }} from "node:crypto";
import {{ readFileSync }} from "node:fs";
import {{ preprocess }} from {str(TEMPLATES / "web" / "preprocessing.mjs")!r};
for (const line of readFileSync({str(VECTORS)!r}, "utf8").trim().split("\\n").slice(1)) {{
  const [width, height, inputWidth, inputHeight, rule, orientation, sha256] = line.split("\\t");
  const pixels = new Uint8Array(4 * width * height);
  for (let i = 0; i < pixels.length; i++) pixels[i] = (Math.imul(i, 2654435761) + 12345) >>> 16;
  const size = {{ width: +inputWidth, height: +inputHeight }};
  const bytes = preprocess(pixels, +width, +height, size, rule, +orientation);
  if (createHash("sha256").update(bytes).digest("hex") !== sha256) console.log(line);
}}
console.log("done");
"""
    )
    done = subprocess.run(
        [str(shutil.which("node")), script], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


KOTLIN_CHECK = """
package app
fun main() {
    val lines = generateSequence(::readLine).drop(1)
    for (line in lines) {
        val (width, height, inputWidth, inputHeight, rule) = line.split("\\t")
        val (orientation, sha256) = line.split("\\t").drop(5)
        val pixels = IntArray(width.toInt() * height.toInt()) { pixel ->
            fun byte(i: Int) = (i * -1640531535 + 12345 ushr 16) and 255
            (byte(4 * pixel) shl 16) or (byte(4 * pixel + 1) shl 8) or byte(4 * pixel + 2)
        }
        val resize = ResizeRule.valueOf(rule.uppercase())
        val preprocessing = Preprocessing(inputWidth.toInt(), inputHeight.toInt(), resize)
        repeat(2) { // the second time in buffers that are not new
            val bytes =
                preprocessing.run(pixels, width.toInt(), height.toInt(), orientation.toInt())
            val hash = java.security.MessageDigest.getInstance("SHA-256").digest(bytes)
            if (hash.joinToString("") { "%02x".format(it) } != sha256) println(line)
        }
    }
    val model = ModelDescription(
        "m", 1, 1, ResizeRule.CROP, listOf("a", "b", "c"), 1.0 / 256, 0, false, 0.9)
    val scores = decodeScores(byteArrayOf(10, -128, 118), model)
    println(scores.joinToString { "${it.name} ${it.probability}" } + " " + isUnsure(scores, model))
}
"""


KOTLIN_USAGE = """
package app
import android.content.ContentResolver
import android.content.res.AssetManager
import android.net.Uri
fun usage(assets: AssetManager, contentResolver: ContentResolver, uri: Uri): Score? {
%s
return best
}
"""


def test_the_stub_of_resources_has_every_string() -> None:
    strings = (TEMPLATES / "android/app/src/main/res/values/strings.xml.jinja").read_text("utf-8")
    stub = (STUBS / "resources.kt").read_text("utf-8")
    names = set(re.findall(r'name="(\w+)"', strings)) - {"app_name"}
    assert names == set(re.findall(r"val (\w+)", stub))


@pytest.mark.slow
@pytest.mark.skipif(KOTLIN not in os.environ, reason=f"needs {KOTLIN}, the npm package, and Java")
def test_kotlin_compiles_and_makes_the_same_bytes(tmp_path: Path) -> None:
    sources = TEMPLATES / "android" / "app" / "src"
    for path in sources.glob("*/kotlin/__package__/*.kt.jinja"):
        source = path.read_text("utf-8").replace("{{ package }}", "app")
        (tmp_path / path.stem).write_text(source)
    for path in STUBS.glob("*.kt"):
        shutil.copy(path, tmp_path)
    (tmp_path / "Check.kt").write_text(KOTLIN_CHECK)
    usage = (REPORT_TEMPLATES / "code" / "usage.kt").read_text("utf-8")
    (tmp_path / "Usage.kt").write_text(KOTLIN_USAGE % usage)
    library = Path(os.environ[KOTLIN]) / "lib"
    compiler = [
        str(shutil.which("java")),
        "-cp",
        f"{library}/*",
        "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
    ]
    files = [str(path) for path in tmp_path.glob("*.kt")]
    subprocess.run([*compiler, *files, "-d", str(tmp_path / "check.jar")], check=True)
    classpath = f"{tmp_path / 'check.jar'}:{library / 'kotlin-stdlib.jar'}"
    with VECTORS.open() as vectors:
        done = subprocess.run(
            [str(shutil.which("java")), "-cp", classpath, "app.CheckKt"],
            stdin=vectors,
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout == "b 0.5, c 0.4609375, a 0.0390625 true\n"


if __name__ == "__main__":
    VECTORS.write_text("\n".join(make_vectors()) + "\n", "utf-8")
