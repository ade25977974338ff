"""Downloading one file, with a bar, whole or not at all."""

from __future__ import annotations

import http.client
import urllib.request

from mobilenet_tf.errors import MtfError
from mobilenet_tf.system import terminal

TIMEOUT_S = 8  # without a byte
KIB = 1024


def download(url: str, instead: str) -> bytes:
    """Return what an http or https address gives; `instead` says how to do without it.

    Raises:
        MtfError: it cannot be reached, or ends before its length.
    """
    content = bytearray()
    try:
        if not url.startswith(("https://", "http://")):
            raise ValueError("not an http address")
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:  # noqa: S310  # as checked
            length = response.length
            name = url.rpartition("/")[2]
            with terminal.bar(f"downloading {name}", length and length // KIB) as advance:
                while block := response.read(64 * KIB):
                    content += block
                    advance(len(block) // KIB, "KiB")
        if length and len(content) != length:
            raise http.client.IncompleteRead(bytes(content), length - len(content))
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise MtfError(f"cannot download {url} ({reason}); {instead}") from error
    return bytes(content)
