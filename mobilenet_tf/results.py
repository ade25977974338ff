"""What a stage leaves behind: a frozen result, written to and read from result.json."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from collections.abc import Collection
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from mobilenet_tf import __version__
from mobilenet_tf.errors import MtfError
from mobilenet_tf.workdir import hash_file, write_bytes

RESULT_FILE = "result.json"
# Among the metrics: settings that a stage was continued with, unlike it was begun.
CHANGES = "changed_on_the_way"
PINNED_PACKAGES = (
    "tensorflow",
    "tf_keras",
    "tensorflow-model-optimization",
    "ai-edge-litert",
    "tensorflow-datasets",
    "numpy",
)


class FileRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a stage, by its content."""

    sha256: str
    size_bytes: int


class StageResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was run, with which settings, where, on which data, and what came of it."""

    stage: str
    settings: dict[str, Any]
    inputs: dict[str, str]  # stage -> SHA-256 of its result.json; teacher, weights -> of theirs
    versions: dict[str, str]
    commit: str | None
    machine: dict[str, Any]
    command: str
    data: dict[str, str]  # split -> fingerprint
    metrics: dict[str, Any]
    files: dict[str, FileRecord]
    started_at: str  # ISO 8601, UTC
    wall_time_s: float


def save_result(result: StageResult, folder: Path) -> None:
    """Write result.json into the folder of a stage, atomically."""
    content = msgspec.json.format(msgspec.json.encode(result), indent=2)
    write_bytes(folder / RESULT_FILE, content + b"\n")


def load_result(folder: Path) -> StageResult:
    """Read the result of a finished stage.

    Raises:
        MtfError: it is damaged, or another version of the project wrote it.
    """
    path = folder / RESULT_FILE
    try:
        content = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise damaged(path, str(error)) from error
    versions = content.get("versions") if isinstance(content, dict) else None
    version = versions.get("mobilenet_tf") if isinstance(versions, dict) else None
    if isinstance(version, str) and series(version) != series(__version__):
        raise MtfError(
            f"{path} was written by mobilenet-tf {version}, this is {__version__}: use that"
            " version, or make the stage again with --overwrite"
        )
    try:
        return msgspec.convert(content, StageResult)
    except msgspec.ValidationError as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, reason: str) -> MtfError:
    """Return the error for a file of a run that cannot be trusted."""
    return MtfError(
        f"{path} is damaged ({reason}); restore it, or remove it and make that stage again with"
        " mtf run or its own command (the old folder is kept under previous/)"
    )


def series(version: str) -> tuple[str, ...]:
    """Return the part of a version within which results stay readable: (major, minor)."""
    return tuple(version.split(".")[:2])


def record_files(folder: Path, leave_out: Collection[str] = ()) -> dict[str, FileRecord]:
    """Return every file below a stage folder by its relative name, its result aside."""
    return {
        path.relative_to(folder).as_posix(): FileRecord(
            sha256=hash_file(path), size_bytes=path.stat().st_size
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (RESULT_FILE, *leave_out)
    }


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
    package = Path(__file__).parent

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(  # noqa: S603  # fixed words, no shell
                ["git", "-C", str(package), *words],  # noqa: S607  # git is where the user has it
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", "results.py") is None:
        return None  # installed somewhere below another project's checkout
    commit = git("rev-parse", "HEAD")
    if commit and git("status", "--porcelain", "--", str(package)):
        commit += "+changes"
    return commit


def describe_command() -> str:
    """Return the command that was typed, ready to be typed again."""
    program = Path(sys.argv[0]).name
    return shlex.join(["mtf" if program == "__main__.py" else program, *sys.argv[1:]])
