"""LiteRT.js, the runtime of Google in the browser: from this machine's cache, or from npm."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tarfile
from pathlib import Path

from mobilenet_tf.errors import MtfError
from mobilenet_tf.files import write_bytes
from mobilenet_tf.system.download import download

version = "2.5.3"
REGISTRY = "https://registry.npmjs.org"
# npm's own digests of the two archives (`npm view @litertjs/core@2.5.3 dist.integrity`), and the
# files of each that a page loads: the wasm with and without relaxed SIMD.
PACKAGES = {
    "core": (
        "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
        (
            "dist/index.js",
            "wasm/litert_wasm_internal.js",
            "wasm/litert_wasm_internal.wasm",
            "wasm/litert_wasm_compat_internal.js",
            "wasm/litert_wasm_compat_internal.wasm",
        ),
    ),
    "wasm-utils": (
        "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
        ("dist/index.js",),
    ),
}


def load() -> dict[str, bytes]:
    """Return the runtime's files by their path below `vendor/`.

    Raises:
        MtfError: they are not in the cache and npm cannot be reached.
    """
    files: dict[str, bytes] = {}
    for name, (digest, wanted) in PACKAGES.items():
        with tarfile.open(fileobj=io.BytesIO(_archive(name, digest))) as archive:
            for path in wanted:
                member = archive.extractfile(f"package/{path}")
                assert member is not None  # the digest says so  # noqa: S101
                files[f"litertjs-{name}/{path}"] = member.read()
    return files


def cache_folder() -> Path:
    """Return where downloads are kept: below XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mobilenet_tf"


def _archive(name: str, digest: str) -> bytes:
    file = f"{name}-{version}.tgz"
    kept = cache_folder() / f"litertjs-{file}"
    if kept.is_file() and _digest(content := kept.read_bytes()) == digest:
        return content
    registry = os.environ.get("npm_config_registry", REGISTRY)  # noqa: SIM112  # npm's own name
    url = f"{registry.rstrip('/')}/@litertjs/{name}/-/{file}"
    content = download(
        url,
        f"on a machine with a network, `npm pack @litertjs/{name}@{version}` makes the file: put it"
        f" at {kept}",
    )
    if _digest(content) != digest:
        raise MtfError(f"{url} is not the file that was published as {version}; try again later")
    write_bytes(kept, content)
    return content


def _digest(content: bytes) -> str:
    return base64.b64encode(hashlib.sha512(content).digest()).decode()
