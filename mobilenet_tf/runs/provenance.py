"""Where a result comes from: versions, commit, command and machine."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from mobilenet_tf import __version__
from mobilenet_tf.files import to_utf8

PINNED_PACKAGES = (
    "tensorflow",
    "tf_keras",
    "tensorflow-model-optimization",
    "ai-edge-litert",
    "tensorflow-datasets",
    "numpy",
)


def describe_versions() -> dict[str, str]:
    """Return the versions that decide a result: Python, this project and its pinned packages."""
    versions = {"mobilenet_tf": __version__, "python": platform.python_version()}
    for package in PINNED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def find_commit() -> str | None:
    """Return the commit the package runs from, `+changes` if modified; None outside git."""
    package = Path(__file__).parents[1]

    def git(*words: str) -> str:
        return subprocess.run(  # noqa: S603  # fixed words, no shell
            ["git", "-C", str(package), *words],  # noqa: S607  # git is where the user has it
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()

    try:
        # Refused where it is installed somewhere below another project's checkout.
        git("ls-files", "--error-unmatch", "runs/provenance.py")
        changed = git("status", "--porcelain", "--", str(package))
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def describe_command() -> str:
    """Return the command that was typed, ready to be typed again."""
    program = Path(sys.argv[0]).name
    command = shlex.join(["mtf" if program == "__main__.py" else program, *sys.argv[1:]])
    return to_utf8(command)
