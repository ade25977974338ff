"""The page of `mtf try` in Chromium; Playwright cannot open a second one beside test_web's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chromium import READY, open_page
from mobilenet_tf.app.model import AppModel
from mobilenet_tf.app.project import build_trial
from mobilenet_tf.app.selftest import draw
from mobilenet_tf.data.image import encode_png, fit_image
from mobilenet_tf.runs.examples import Example

pytestmark = pytest.mark.slow


def test_a_trial_shows_examples_and_no_model_of_before(
    web_files: dict[str, bytes], model: AppModel
) -> None:
    pixels = np.asarray(fit_image(draw(7, (64, 64)), 32, 32, model.rule))
    best = model.classes[int(model.classifier.predict_raw(pixels[None]).argmax())]
    example = Example(image=encode_png(pixels), label="<b>", predicted=best)
    tried = replace(model, name="another model", examples=(example,))
    served = dict(web_files)
    with open_page(served) as page:
        page.goto("/")
        page.wait_for_selector(READY, timeout=120_000)
        page.evaluate("navigator.serviceWorker.ready")
        assert page.locator("#examples button").count() == 0
        served.update(build_trial(tried))
        page.goto("/")
        page.wait_for_selector("#title:has-text('another model')", timeout=120_000)
        page.wait_for_selector(READY, timeout=120_000)
        assert page.locator("#examples button").inner_text() == f"<b>, not {best}"
        page.click("#examples button")
        page.wait_for_selector("#bars li")
        assert best in page.locator("#answer").inner_text()
