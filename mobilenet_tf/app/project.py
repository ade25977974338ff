"""Projects for the web, Android, iOS and Python from templates and a model."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mobilenet_tf import __version__
from mobilenet_tf.app import litertjs
from mobilenet_tf.app.model import RULE_WORDS, AppModel
from mobilenet_tf.errors import UsageError
from mobilenet_tf.files import rename, write_bytes, writing
from mobilenet_tf.report.templates import environment
from mobilenet_tf.tflite.metadata import format_labels

TEMPLATES = Path(__file__).parent / "templates"
PLATFORMS = ("web", "android", "ios", "python")
MANIFEST = ".mtf-app.json"  # SHA-256 of every file as written: what differs was edited
IMPORT_MAP = json.dumps(
    {
        "imports": {
            "@litertjs/core": "./vendor/litertjs-core/dist/index.js",
            "@litertjs/wasm-utils": "./vendor/litertjs-wasm-utils/dist/index.js",
        }
    }
)
VECTORS = {"android": "app/src/test/resources", "ios": "ClassifierTests"}
ASSETS = {
    "web": "",
    "android": "app/src/main/assets/",
    "ios": "Classifier/Resources/",
    "python": "",
}

_KEYWORDS = """
abstract as assert boolean break byte case catch char class const continue default do double else
enum extends false final finally float for fun goto if implements import in instanceof int interface
is long native new null object package private protected public return short static strictfp super
switch synchronized this throw throws transient true try typealias typeof val var void volatile when
while
"""
KEYWORDS = frozenset(_KEYWORDS.split())  # of Java and Kotlin, which a package cannot hold
Files = dict[str, bytes]


def build_app(model: AppModel, platform: str, package: str = "com.example.classifier") -> Files:
    """Return the files of one platform's project by their relative path.

    `package` names the Android package and, for iOS, the bundle.

    Raises:
        UsageError: `package` cannot be one.
        MtfError: LiteRT.js is not here and cannot be downloaded.
    """
    check_package(package)
    files: Files = {
        ASSETS[platform] + name: content
        for name, content in (
            ("model.tflite", model.content),
            ("model.json", _json(model.describe())),
            ("labels.txt", format_labels(model.classes)),
            ("selftest.json", _json(model.selftest)),
        )
    }
    files |= _render(platform, model, package)
    if folder := VECTORS.get(platform):
        vectors = TEMPLATES / "shared" / "preprocessing.tsv"
        files[f"{folder}/preprocessing.tsv"] = vectors.read_bytes()
    if platform == "web":
        files |= _service_worker(files, model)
        files |= {f"vendor/{name}": content for name, content in litertjs.load().items()}
    return dict(sorted(files.items()))


def build_trial(model: AppModel) -> Files:
    """Return the web app for `mtf try`: with the examples, and nothing is kept for later.

    Raises:
        MtfError: LiteRT.js is not here and cannot be downloaded.
    """
    worker = (TEMPLATES / "shared" / "forget.js").read_bytes()
    return build_app(model, "web") | model.example_files | {"sw.js": worker}


def write_app(files: Mapping[str, bytes], out: Path, *, overwrite: bool = False) -> int:
    """Write a project into `out` and return how many files changed.

    A new folder appears whole or not at all. In one that is there, a file that its user edited
    stays, and is the reason to refuse everything, unless `overwrite`.

    Raises:
        UsageError: a file was edited, or the folder is not a project of this command.
        MtfError: the folder cannot be written.
    """
    hashes = {name: _hash(content) for name, content in files.items()}
    if not out.exists():
        _write_new({**files, MANIFEST: _json(hashes)}, out)
        return len(files)
    written = _read_manifest(out)
    changed = []
    for name in files:
        path = out / name
        there = _hash(path.read_bytes()) if path.is_file() and not path.is_symlink() else None
        if there == hashes[name]:
            continue
        is_theirs = os.path.lexists(path) and (there is None or there != written.get(name))
        if is_theirs and not overwrite:
            raise UsageError(
                f"{path} was edited or is not of mtf app; give another --out, or --overwrite to"
                " replace it"
            )
        changed.append(name)
    for name in changed:
        write_bytes(out / name, files[name])
    write_bytes(out / MANIFEST, _json(written | hashes))
    return len(changed)


def _write_new(files: Mapping[str, bytes], out: Path) -> None:
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            whole = Path(folder) / "app"
            for name, content in files.items():
                path = whole / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            rename(whole, out)


def _read_manifest(out: Path) -> dict[str, str]:
    if not out.is_dir():
        raise UsageError(f"{out} is not a folder; give another --out")
    if not any(out.iterdir()):
        return {}
    try:
        return msgspec.json.decode((out / MANIFEST).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(
            f"{out} is not empty and not a project of mtf app; give another --out"
        ) from error


def _render(platform: str, model: AppModel, package: str) -> Files:
    """Return the platform's own files, rendered where their name ends in .jinja."""
    root = TEMPLATES / platform
    env = environment(root)
    env.filters |= {"android": quote_android, "yaml": quote_yaml}
    digest = base64.b64encode(hashlib.sha256(IMPORT_MAP.encode()).digest()).decode()
    import markupsafe

    values: dict[str, Any] = {
        "model": model,
        "package": package,
        "rule_words": RULE_WORDS[model.rule],
        "litertjs": litertjs,
        "import_map": markupsafe.Markup(IMPORT_MAP),  # noqa: S704  # our own constant
        "import_map_hash": f"sha256-{digest}",
        "mtf_version": __version__,
    }
    files: Files = {}
    for path in sorted(root.rglob("*")):
        if not path.is_file() or path.name == "sw.js.jinja" or path.suffix == ".pyc":
            continue
        name = path.relative_to(root).as_posix()
        if name.endswith(".jinja"):
            content = env.get_template(name).render(**values).encode()
            name = name.removesuffix(".jinja")
        else:
            content = path.read_bytes()
        files[name] = content
    return files


def _service_worker(files: Files, model: AppModel) -> Files:
    """Return the service worker that keeps these files, named by what is in them."""
    kept = ["./", *sorted(name for name in files if name != "README.md")]
    version = _hash(b"".join(files[name] for name in sorted(files)))[:16]
    template = environment(TEMPLATES / "web").get_template("sw.js.jinja")
    return {"sw.js": template.render(model=model, files=kept, version=version).encode()}


def _json(document: object) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def quote_yaml(text: str) -> str:
    """Return a YAML string, in ASCII; unlike JSON's, its escapes are of whole characters."""
    escaped = "".join(
        character
        if " " <= character <= "~" and character not in '"\\'
        else f"\\U{ord(character):08x}"
        for character in text
    )
    return f'"{escaped}"'


def quote_android(text: str) -> str:
    """Return the text of an Android string resource."""
    import markupsafe

    escaped = str(markupsafe.escape(text.replace("\\", "\\\\"))).replace("&#39;", "\\'")
    escaped = escaped.replace("&#34;", '\\"')
    return ("\\" if escaped[:1] in "@?" else "") + re.sub(r"\s+", " ", escaped)


def check_package(package: str) -> None:
    """Refuse what cannot name an Android package and an iOS bundle.

    Raises:
        UsageError: it has fewer than two parts, other characters, or a part that is a keyword.
    """
    parts = package.split(".")
    wrong = [part for part in parts if not re.fullmatch(r"[a-z][a-z0-9_]*", part)]
    wrong += [part for part in parts if part in KEYWORDS]
    if wrong or len(parts) < 2:
        what = f"{wrong[0]!r} in it cannot be one" if wrong else "it has one part"
        raise UsageError(
            f"--package {package!r} is no package: {what}; give lower-case words that are no"
            " keywords, such as org.example.pets"
        )


def parse_platforms(wanted: str) -> Iterable[str]:
    """Return the platforms that --for means."""
    return PLATFORMS if wanted == "all" else (wanted,)
