"""The web app in Chromium: it tests itself, works offline and gives Python's answers."""

from __future__ import annotations

import base64
import io
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mobilenet_tf.app import litertjs
from mobilenet_tf.app.model import AppModel, load_model
from mobilenet_tf.app.project import build_app
from mobilenet_tf.app.selftest import draw
from mobilenet_tf.app.server import make_server
from mobilenet_tf.data.image import fit_image
from mobilenet_tf.errors import MtfError
from mobilenet_tf.zoo.shelf import find_tflite

pytestmark = pytest.mark.slow
IMAGES = 60
RUN = """
async (pngs) => {
  const { Classifier, decodeImage, readPixels } = await import("./classifier.mjs");
  const classifier = await Classifier.load(new URL("./", location.href));
  const outputs = [];
  for (const png of pngs) {
    const bytes = Uint8Array.from(atob(png), (c) => c.charCodeAt(0));
    const bitmap = await decodeImage(new Blob([bytes]));
    const prepared = classifier.prepare(readPixels(bitmap, bitmap.width, bitmap.height));
    outputs.push([Array.from(prepared), Array.from(await classifier.run(prepared))]);
  }
  return outputs;
}
"""


@pytest.fixture(scope="module")
def model() -> AppModel:
    """Return a model of the zoo, with uint8 edges."""
    return load_model(find_tflite(Path("cifar10_v1_028_r32_b8")))


@pytest.fixture(scope="module")
def page(model: AppModel) -> Iterator[Any]:
    """Yield the page of a served app, ready."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs chromium")
    try:
        files = build_app(model, "web")
    except MtfError as error:
        pytest.skip(f"needs LiteRT.js: {error}")
    server = make_server(files, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_api.sync_playwright() as tools:
        browser = tools.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
            ],
        )
        page = browser.new_page()
        page.requests = []
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_selector("html[data-ready]", timeout=120_000)
        yield page
        browser.close()
    server.shutdown()
    server.server_close()


def test_the_page_tests_itself_and_asks_no_other_host(page: Any) -> None:
    assert page.locator("#status").get_attribute("data-kind") == "good"
    assert page.locator("#needs-server").count() == 0
    assert {url.split("/")[2].partition(":")[0] for url in page.requests} == {"127.0.0.1"}


def test_every_byte_of_input_and_output_is_pythons(page: Any, model: AppModel) -> None:
    rng = np.random.default_rng(1)
    images = [draw(seed, tuple(rng.integers(1, 200, 2))) for seed in range(100, 100 + IMAGES)]
    found = page.evaluate(RUN, [base64.b64encode(encode(image)).decode() for image in images])
    inputs = np.stack([np.asarray(fit_image(image, 32, 32, model.rule)) for image in images])
    np.testing.assert_array_equal([given for given, _ in found], inputs.reshape(IMAGES, -1))
    outputs = model.classifier.predict_raw(inputs, batch_size=1)
    np.testing.assert_array_equal([output for _, output in found], outputs)


def test_an_image_and_the_camera_are_classified(page: Any, model: AppModel) -> None:
    image = {"name": "<b>x.png", "mimeType": "image/png", "buffer": encode(draw(1, (90, 60)))}
    page.set_input_files("#file", image)
    page.wait_for_selector("#bars li")
    assert page.locator("#bars li span").first.inner_text() in model.classes
    page.set_input_files("#file", {**image, "buffer": b"no image"})
    page.wait_for_selector("#bars:empty", state="attached")
    page.click("#camera")
    page.wait_for_selector("#bars li")
    page.click("#camera")


def test_it_works_offline_once_loaded(page: Any) -> None:
    page.evaluate("navigator.serviceWorker.ready")
    page.reload()
    page.wait_for_selector("html[data-ready]", timeout=120_000)
    page.context.set_offline(True)
    page.reload()
    page.wait_for_selector("html[data-ready]", timeout=120_000)
    page.context.set_offline(False)


def encode(image: Image.Image) -> bytes:
    """Return an image as PNG."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_the_runtime_is_what_was_published() -> None:
    try:
        files = litertjs.load()
    except MtfError as error:
        pytest.skip(f"needs LiteRT.js: {error}")
    assert len(files) == 6
