"""The web app in Chromium: it tests itself, works offline and gives Python's answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from chromium import CLASSIFY, READY, open_page, to_base64
from mobilenet_tf.app import litertjs
from mobilenet_tf.app.model import AppModel
from mobilenet_tf.app.selftest import draw
from mobilenet_tf.data.image import encode_png, fit_image
from mobilenet_tf.errors import MtfError
from mobilenet_tf.report.templates import TEMPLATES

pytestmark = pytest.mark.slow
IMAGES = 60
USAGE = """
const file = await (await fetch("photo.png")).blob();
CODE
export { scores };
"""


@pytest.fixture(scope="module")
def page(web_files: dict[str, bytes]) -> Iterator[Any]:
    """Yield the page of a served app, ready."""
    usage = (TEMPLATES / "code" / "usage.mjs").read_text("utf-8")
    more = {
        "usage.mjs": USAGE.replace("CODE", usage).encode(),
        "photo.png": encode_png(np.asarray(draw(1, (90, 60)))),
    }
    with open_page(web_files | more) as page:
        page.goto("/")
        page.wait_for_selector(READY, timeout=120_000)
        yield page


def test_the_page_tests_itself_and_asks_no_other_host(page: Any) -> None:
    assert page.locator("#status").get_attribute("data-kind") == "good"
    assert page.locator("#needs-server").count() == 0
    assert {url.split("/")[2].partition(":")[0] for url in page.requests} == {"127.0.0.1"}


def test_every_byte_of_input_and_output_is_pythons(page: Any, model: AppModel) -> None:
    rng = np.random.default_rng(1)
    images = [draw(seed, tuple(rng.integers(1, 200, 2))) for seed in range(100, 100 + IMAGES)]
    found = page.evaluate(CLASSIFY, [to_base64(encode_png(np.asarray(image))) for image in images])
    inputs = np.stack([np.asarray(fit_image(image, 32, 32, model.rule)) for image in images])
    np.testing.assert_array_equal([given for given, _, _ in found], inputs.reshape(IMAGES, -1))
    outputs = model.classifier.predict_raw(inputs, batch_size=1)
    np.testing.assert_array_equal([output for _, output, _ in found], outputs)
    assert [name for _, _, name in found] == [model.classes[at] for at in outputs.argmax(1)]


def test_the_javascript_of_reports_runs(page: Any, model: AppModel) -> None:
    best = page.evaluate("async () => (await import('./usage.mjs')).scores[0].name")
    image = np.asarray(fit_image(draw(1, (90, 60)), 32, 32, model.rule))
    output = model.classifier.predict_raw(image[None], batch_size=1)
    assert best == model.classes[int(output.argmax())]


def test_an_image_and_the_camera_are_classified(page: Any, model: AppModel) -> None:
    image = {
        "name": "<b>x.png",
        "mimeType": "image/png",
        "buffer": encode_png(np.asarray(draw(1, (90, 60)))),
    }
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
    page.wait_for_selector(READY, timeout=120_000)
    page.context.set_offline(True)
    page.reload()
    page.wait_for_selector(READY, timeout=120_000)
    page.context.set_offline(False)


def test_the_runtime_is_what_was_published() -> None:
    try:
        files = litertjs.load()
    except MtfError as error:
        pytest.skip(f"needs LiteRT.js: {error}")
    assert len(files) == 6
