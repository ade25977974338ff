r"""What the runtimes of apps answer, and how fast the page of `mtf app` is.

    pip install '.[browser]' && npm install @mediapipe/tasks-vision@1.1.0
    python benchmarks/apps.py runtimes cifar10_v1_050_r32 \
        --mediapipe-python PYTHON --node-modules node_modules
    python benchmarks/apps.py page cifar10_v1_050_r32

`runtimes` shows CIFAR-10's first test images to LiteRT and MediaPipe in Python, and to LiteRT.js
and tasks-vision in an installed Chromium. `page` loads the page and classifies a fake camera.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from PIL import Image

from chromium import CLASSIFY, READY, open_page, to_base64
from mobilenet_tf.app import litertjs
from mobilenet_tf.app.model import AppModel, load_model
from mobilenet_tf.app.project import build_app
from mobilenet_tf.data.image import encode_png, fit_image
from mobilenet_tf.data.sources import load_test_split
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.zoo.shelf import find_tflite

WORKER = Path(__file__).parent / "mediapipe_worker.py"
TASKS_VISION = """
async (pngs) => {
  const { FilesetResolver, ImageClassifier } = await import("./vision_bundle.mjs");
  const files = await FilesetResolver.forVisionTasks(new URL("./wasm", location.href).href);
  const classifier = await ImageClassifier.createFromOptions(files, {
    baseOptions: { modelAssetPath: "model.tflite", delegate: "CPU" },
  });
  const answers = [];
  for (const png of pngs) {
    const bytes = Uint8Array.from(atob(png), (c) => c.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes]), { colorSpaceConversion: "none" });
    const { categories } = classifier.classify(bitmap).classifications[0];
    answers.push(categories.map(({ categoryName, index, score }) => [categoryName, index, score]));
  }
  return answers;
}
"""
PREPARE = """
async ([width, height]) => {
  const { preprocess } = await import("./preprocessing.mjs");
  const { input, resize } = await (await fetch("model.json")).json();
  const pixels = new Uint8ClampedArray(4 * width * height).map((_, i) => i);
  const times = [];
  for (let i = 0; i < 25; i++) {
    const start = performance.now();
    preprocess(pixels, width, height, input, resize);
    times.push(performance.now() - start);
  }
  return times;
}
"""
PAGE_FILES = (".html", ".mjs", ".css", "sw.js")
CAMERA_S = 8


class Answers(NamedTuple):
    """One runtime's answers: scores of 0 to 255 (images, classes), and the name of each best."""

    runtime: str
    scores: np.ndarray
    names: list[str]


@click.group()
def main() -> None:
    """Compare the runtimes of apps; measure the web app."""


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path))
@click.option("--mediapipe-python", help="A Python that has MediaPipe.")
@click.option("--node-modules", type=click.Path(path_type=Path, exists=True))
def runtimes(
    *,
    model: Path,
    count: int,
    data_dir: Path | None,
    mediapipe_python: str | None,
    node_modules: Path | None,
) -> None:
    """Compare all runtimes with LiteRT's XNNPACK on the int8 file of MODEL; prints a table."""
    file = find_tflite(model)
    app = load_model(file)
    test = load_test_split("cifar10", data_dir)
    images, labels = np.asarray(test.images[:count]), test.labels[:count]
    litert = f"LiteRT {version('ai-edge-litert')}, Python"
    reference = ask_litert(f"{litert}, int8 file", Classifier.load(file), images)
    found = [reference, ask_litert(f"{litert}, uint8 file", app.classifier, images)]
    if mediapipe_python:
        found.append(ask_mediapipe(mediapipe_python, app, list(images)))
    found.append(ask_litertjs(app, images))
    if node_modules:
        found.append(ask_tasks_vision(node_modules / "@mediapipe" / "tasks-vision", app, images))
    click.echo("| runtime | top-1 % | same top-1 % | steps apart, at most | class names |")
    click.echo("|---|--:|--:|--:|---|")
    for answers in found:
        best = answers.scores.argmax(1)
        same = (best == reference.scores.argmax(1)).mean()
        steps = np.abs(answers.scores - reference.scores).max()
        right = answers.names == [app.classes[at] for at in best]
        figures = f"{100 * (best == labels).mean():.1f} | {100 * same:g} | {steps:g}"
        click.echo(f"| {answers.runtime} | {figures} | {'right' if right else 'wrong'} |")


def ask_litert(runtime: str, classifier: Classifier, images: np.ndarray) -> Answers:
    raw = classifier.predict_raw(images, batch_size=1).astype(int)
    scores = raw - (-128 if classifier.output_type == "int8" else 0)
    return Answers(runtime, scores, [classifier.info.classes[at] for at in scores.argmax(1)])


def ask_mediapipe(
    python: str, app: AppModel, images: list[np.ndarray], part: str = "whole"
) -> Answers:
    with tempfile.TemporaryDirectory() as folder:
        file, pixels = Path(folder) / "model.tflite", Path(folder) / "images.npz"
        file.write_bytes(app.content)
        np.savez(pixels, *images)
        command = [python, WORKER, file, pixels, part]
        done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603
    found = json.loads(done.stdout)
    return read_categories(f"MediaPipe {found['version']}, Python", found["answers"])


def ask_litertjs(app: AppModel, images: np.ndarray) -> Answers:
    with open_page(build_app(app, "web")) as page:
        page.goto("/")
        page.wait_for_selector(READY)
        found = page.evaluate(CLASSIFY, encode(images))
        runtime = f"LiteRT.js {litertjs.version}, Chromium {page.context.browser.version}"
    scores = np.array([output for _, output, _ in found])
    return Answers(runtime, scores, [name for _, _, name in found])


def ask_tasks_vision(package: Path, app: AppModel, images: np.ndarray) -> Answers:
    files = {"index.html": b"<!doctype html>", "model.tflite": app.content}
    files["vision_bundle.mjs"] = (package / "vision_bundle.mjs").read_bytes()
    files |= {f"wasm/{path.name}": path.read_bytes() for path in (package / "wasm").iterdir()}
    with open_page(files) as page:
        page.goto("/")
        found = page.evaluate(TASKS_VISION, encode(images))
        runtime = f"tasks-vision {json.loads((package / 'package.json').read_bytes())['version']}"
        return read_categories(f"{runtime}, Chromium {page.context.browser.version}", found)


def read_categories(runtime: str, answers: list[list[Any]]) -> Answers:
    """Return MediaPipe's answers: for each image (name, index, score) of every class."""
    scores = np.zeros((len(answers), len(answers[0])))
    for row, categories in zip(scores, answers, strict=True):
        for _, index, score in categories:
            row[index] = 256 * score
    return Answers(runtime, scores, [max(each, key=lambda c: c[2])[0] for each in answers])


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path))
@click.option("--mediapipe-python", help="A Python that has MediaPipe.", required=True)
def stretch(*, model: Path, count: int, data_dir: Path | None, mediapipe_python: str) -> None:
    """Compare MediaPipe's ways to a square, on wide and tall images; prints a table.

    CIFAR-10's first test images, four times as large, their edges drawn out to the sides or up and
    down until one side is 1 to 2 times the other.
    """
    app = load_model(find_tflite(model))
    test = load_test_split("cifar10", data_dir)
    rng = np.random.default_rng(1)
    images = [draw_out(image, rng.uniform(1, 2)) for image in np.asarray(test.images[:count])]
    prepared = [
        np.asarray(fit_image(Image.fromarray(image), app.input.height, app.input.width, app.rule))
        for image in images
    ]
    expected = app.classifier.predict_raw(np.stack(prepared), batch_size=1).argmax(1)
    click.echo("| what MediaPipe is given | same top-1 % | top-1 % |\n|---|--:|--:|")
    for what, given, part in (
        ("the whole image", images, "whole"),
        ("a centred region of interest", images, "centre"),
        ("the output of `preprocessing.py`", prepared, "whole"),
    ):
        best = ask_mediapipe(mediapipe_python, app, given, part).scores.argmax(1)
        same, right = (best == expected).mean(), (best == test.labels[:count]).mean()
        click.echo(f"| {what} | {100 * same:.1f} | {100 * right:.1f} |")


def draw_out(image: np.ndarray, ratio: float) -> np.ndarray:
    """Return a square image four times as large, made wide, or tall where it is an odd one."""
    side = 4 * len(image)
    large = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
    more = round(side * (ratio - 1) / 2)
    tall = bool(image.sum() % 2)
    edges = ((more, more), (0, 0), (0, 0)) if tall else ((0, 0), (more, more), (0, 0))
    return np.pad(large, edges, mode="edge")


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
def page(model: Path) -> None:
    """Measure the page of `mtf app` in Chromium; prints JSON."""
    files = build_app(load_model(find_tflite(model)), "web")
    code = {name: len(content) for name, content in files.items() if "/" not in name}
    with open_page(files) as shown:
        ready_ms = []
        for _ in range(5):
            start = time.monotonic()
            shown.goto("/")
            shown.wait_for_selector(READY)
            ready_ms.append(round(1000 * (time.monotonic() - start)))
        times = {size: shown.evaluate(PREPARE, list(size)) for size in ((1000, 1000), (640, 480))}
        shown.click("#camera")
        shown.wait_for_timeout(1000 * CAMERA_S)
        camera = shown.locator("#latency").inner_text()
        browser = shown.context.browser.version
    medians = {size: float(np.median(each)) for size, each in times.items()}
    result = {
        "model": str(model),
        "chromium": browser,
        "ready_ms": ready_ms,
        "preprocessing_ms_per_megapixel": round(medians[1000, 1000], 1),
        "preprocessing_ms_640x480": round(medians[640, 480], 1),
        "camera": camera,
        "code_bytes": sum(size for name, size in code.items() if name.endswith(PAGE_FILES)),
    }
    click.echo(json.dumps(result, indent=2))


def encode(images: np.ndarray) -> list[str]:
    """Return images as PNGs in base64."""
    return [to_base64(encode_png(image)) for image in images]


if __name__ == "__main__":
    main()
