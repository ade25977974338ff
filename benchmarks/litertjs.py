"""Whether LiteRT.js in a Chromium gives LiteRT's answers, and how fast the page of `mtf app` is.

    pip install '.[browser]' && python benchmarks/litertjs.py cifar10_v1_050_r32

The first test images of CIFAR-10, as PNG; needs an installed Chromium and, once, npm's registry.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import threading
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

from mobilenet_tf.app.model import load_model
from mobilenet_tf.app.project import build_app
from mobilenet_tf.app.server import make_server
from mobilenet_tf.data.sources import load_test_split
from mobilenet_tf.zoo.shelf import find_tflite

RUN = """
async (pngs) => {
  const { Classifier, decodeImage, readPixels } = await import("./classifier.mjs");
  const classifier = await Classifier.load(new URL("./", location.href));
  const outputs = [];
  for (const png of pngs) {
    const bytes = Uint8Array.from(atob(png), (c) => c.charCodeAt(0));
    const bitmap = await decodeImage(new Blob([bytes]));
    const pixels = readPixels(bitmap, bitmap.width, bitmap.height);
    outputs.push(Array.from(await classifier.run(classifier.prepare(pixels))));
  }
  const large = new Uint8ClampedArray(4 * 1000 * 1000).map((_, i) => i);
  const times = [];
  for (let i = 0; i < 15; i++) {
    const start = performance.now();
    classifier.prepare({ data: large, width: 1000, height: 1000 });
    times.push(performance.now() - start);
  }
  return { outputs, times };
}
"""


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path))
def main(*, model: Path, count: int, data_dir: Path | None) -> None:
    """Compare the uint8 file of MODEL in both on CIFAR-10's first test images; prints JSON."""
    from playwright.sync_api import sync_playwright

    app = load_model(find_tflite(model))
    test = load_test_split("cifar10", data_dir)
    images, labels = test.images[:count], test.labels[:count]
    expected = app.classifier.predict_raw(np.asarray(images), batch_size=1)
    files = build_app(app, "web")
    server = make_server(files, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    with sync_playwright() as tools:
        browser = tools.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
            ],
        )
        page = browser.new_page()
        ready_ms = []
        for _ in range(4):
            start = time.monotonic()
            page.goto(url)
            page.wait_for_selector("html[data-ready]")
            ready_ms.append(round(1000 * (time.monotonic() - start)))
        found = page.evaluate(RUN, [encode(image) for image in images])
        page.click("#camera")
        page.wait_for_timeout(6000)
        camera = page.locator("#latency").inner_text()
        version = browser.version
        browser.close()
    server.shutdown()
    outputs = np.array(found["outputs"])
    code = {name: len(content) for name, content in files.items() if name.endswith(CODE)}
    result = {
        "model": str(model),
        "images": len(images),
        "chromium": version,
        "same_top1": float((outputs.argmax(1) == expected.argmax(1)).mean()),
        "largest_step": int(np.abs(outputs - expected.astype(int)).max()),
        "top1": float((outputs.argmax(1) == labels).mean()),
        "ready_ms": ready_ms,
        "preprocessing_ms_per_megapixel": round(float(np.median(found["times"])), 1),
        "camera": camera,
        "code_bytes": sum(size for name, size in code.items() if "/" not in name),
    }
    click.echo(json.dumps(result, indent=2))


CODE = (".html", ".mjs", ".css", "sw.js")


def encode(image: np.ndarray) -> str:
    """Return an image as PNG in base64."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


if __name__ == "__main__":
    main()
