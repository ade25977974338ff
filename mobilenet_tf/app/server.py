"""A web project on 127.0.0.1, for this machine alone."""

from __future__ import annotations

import functools
import http.server
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".mjs": "text/javascript",
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".png": "image/png",
    ".jpg": "image/jpeg",
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves a project's files from memory; nothing else of the machine can be reached."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: object, files: Mapping[str, bytes]) -> None:
        self._files = files
        super().__init__(*args)  # type: ignore[arg-type]  # as the server calls it

    def do_GET(self) -> None:
        """Send a file."""
        host = self.headers.get("Host", "").partition(":")[0]
        name = unquote(urlsplit(self.path).path).lstrip("/") or "index.html"
        content = self._files.get(name) if host in ("127.0.0.1", "localhost") else None
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        suffix = name[name.rfind(".") :] if "." in name else ""
        self.send_header("Content-Type", TYPES.get(suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing for each request."""


def make_server(files: Mapping[str, bytes], port: int) -> http.server.ThreadingHTTPServer:
    """Return a server of these files on 127.0.0.1; port 0 takes any that is free.

    Raises:
        OSError: the port is in use.
    """
    handler = functools.partial(Handler, files=files)
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
