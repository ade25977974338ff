"""A page in Chromium, its files served from memory on 127.0.0.1: for benchmarks and tests."""

from __future__ import annotations

import base64
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mobilenet_tf.app.server import make_server

# Takes PNGs in base64; gives the input bytes, the output bytes and the name of the best class.
CLASSIFY = """
async (pngs) => {
  const { Classifier, decodeImage, readPixels } = await import("./classifier.mjs");
  const classifier = await Classifier.load(new URL("./", location.href));
  const answers = [];
  for (const png of pngs) {
    const bytes = Uint8Array.from(atob(png), (c) => c.charCodeAt(0));
    const bitmap = await decodeImage(new Blob([bytes]));
    const prepared = classifier.prepare(readPixels(bitmap, bitmap.width, bitmap.height));
    const output = await classifier.run(prepared);
    answers.push([Array.from(prepared), Array.from(output), classifier.decode(output)[0].name]);
  }
  return answers;
}
"""
READY = "html[data-ready]"  # on the page of `mtf app`, once it has tested itself


def find_chromium() -> str | None:
    """Return the path of an installed Chromium or Chrome."""
    return shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def open_page(files: Mapping[str, bytes]) -> Iterator[Any]:
    """Yield Playwright's page, not loaded yet: `page.goto("/")` loads index.html.

    It has a fake camera; `page.requests` are the addresses that it asked for.
    """
    from playwright.sync_api import sync_playwright

    server = make_server(files, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as tools:
        browser = tools.chromium.launch(
            executable_path=find_chromium(),
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
            ],
        )
        page = browser.new_page(base_url=f"http://127.0.0.1:{server.server_port}/")
        page.requests = []
        page.on("request", lambda request: page.requests.append(request.url))
        yield page
        browser.close()
    server.shutdown()
    server.server_close()


def to_base64(content: bytes) -> str:
    """Return bytes as a page takes them."""
    return base64.b64encode(content).decode("ascii")
