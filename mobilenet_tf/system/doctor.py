"""The environment, looked at: what fits together, what is missing, and the way out of each trap.

Nothing heavy is imported, and every part is looked at even where another is broken.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import struct
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mobilenet_tf import __version__
from mobilenet_tf.system.hardware import (
    is_x86,
    list_features,
    memory_bytes,
    read_cpu_features,
    usable_cores,
)

if TYPE_CHECKING:
    from packaging.requirements import Requirement

Level = Literal["ok", "warning", "problem"]

PROJECT = "mobilenet-tf"
INSTALL = f"install {PROJECT} with all it needs: `pip install .` in its folder"
PYTHONS = ((3, 10), (3, 13))  # the first and the last that TensorFlow and LiteRT have wheels for
DATA_SERVER = "https://www.cs.toronto.edu/~kriz/cifar.html"
NETWORK_TIMEOUT_S = 3.0
GIB = 2**30
_TRAINING_GIB = 3.0  # resident memory of training on CIFAR-10, at most
_PREPARED_GIB = 1.0  # an archive, unpacked, and the records made of it
_RUN_GIB = 1.0  # checkpoints and files of a run


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `fix` says what to do where it is not ok."""

    name: str
    level: Level
    detail: str
    fix: str = ""


def examine(data_dir: Path | None = None, out: Path = Path("artifacts")) -> list[Check]:
    """Return everything worth knowing about this machine and its Python, in a few seconds.

    Args:
        data_dir: where datasets are looked for; `TFDS_DATA_DIR` or its default when None.
        out: where runs will be written.
    """
    reachable = _Reachability()  # asks while the rest is looked at
    parts: tuple[tuple[str, Callable[[], Iterable[Check]]], ...] = (
        ("python", check_python),
        ("versions", check_versions),
        ("LiteRT", check_interpreter),
        ("Keras", check_keras),
        ("cpu", check_cpu),
        ("gpu", check_gpu),
        ("memory", check_memory),
        ("disk", lambda: check_disk(out)),
        ("TFDS_DATA_DIR", check_data_variable),
        ("datasets", lambda: check_datasets(data_dir, reachable)),
    )
    checks: list[Check] = []
    for name, look in parts:
        try:
            checks += look()
        except ImportError as error:
            checks.append(Check(name, "problem", f"cannot be looked at: {error}", INSTALL))
        except OSError as error:
            checks.append(Check(name, "warning", f"cannot be looked at: {error}"))
    return checks


def check_python() -> Iterator[Check]:
    """Look at the interpreter: its version, and that it is a 64-bit one."""
    version = platform.python_version()
    first, last = PYTHONS
    known = f"{first[0]}.{first[1]} to {last[0]}.{last[1]}"
    if not first <= sys.version_info[:2] <= last:
        yield Check(
            "python",
            "problem",
            f"{version}; TensorFlow and LiteRT of the versions needed have wheels for {known}",
            f"make a virtual environment with Python {last[0]}.{last[1]}",
        )
    elif struct.calcsize("P") != 8:
        yield Check("python", "problem", f"{version}, 32-bit", "install a 64-bit Python")
    else:
        yield Check("python", "ok", f"{version} in {sys.prefix}")


def check_versions() -> Iterator[Check]:
    """Compare what is installed with what this project needs, and what those need in turn."""
    needed, origin = find_requirements()
    if not needed:
        yield Check(
            "versions",
            "warning",
            f"{origin}; what belongs together is not known",
            INSTALL,
        )
        return
    yield Check(PROJECT, "ok", f"{__version__}, {origin}")
    broken: dict[str, Check] = {}
    for requirement in needed:
        found = _installed(requirement.name)
        if found is None:
            why = _MISSING.get(
                _plain(requirement.name), f"not installed; {PROJECT} needs {requirement}"
            )
        elif not requirement.specifier.contains(found, prereleases=True):
            why = f"{found} is installed and {PROJECT} needs {requirement}"
        else:
            yield Check(requirement.name, "ok", found)
            continue
        fix = f"pip install '{requirement.name}{requirement.specifier}'"
        broken[_plain(requirement.name)] = Check(requirement.name, "problem", why, fix)
    yield from broken.values()
    yield from _check_each_other(needed, {*broken})


# What goes wrong without it is seen late, and far from its cause.
_MISSING = {
    "importlib-resources": "not installed; tensorflow-datasets cannot download without it, and"
    " does not declare it",
    "tf-keras": "not installed; tensorflow-model-optimization takes its (Keras 2) models only",
    "ai-edge-litert": "not installed; it runs .tflite files, as tf.lite.Interpreter is deprecated",
}


def find_requirements() -> tuple[list[Requirement], str]:
    """Return what the project needs here, and where that is written.

    It is read from the installed package, or from pyproject.toml when run from a checkout.
    """
    from packaging.requirements import Requirement

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        lines, origin = metadata.requires(PROJECT) or [], "installed"
    except metadata.PackageNotFoundError:
        project_file = Path(__file__).resolve().parents[2] / "pyproject.toml"
        try:
            project = tomllib.loads(project_file.read_text(encoding="utf-8"))["project"]
        except (OSError, ValueError, KeyError):
            return [], f"{PROJECT} is not installed"
        lines, origin = project["dependencies"], "run from a checkout"
    requirements = [Requirement(line) for line in lines]
    return [each for each in requirements if _applies(each)], origin


def _check_each_other(needed: list[Requirement], skipped: set[str]) -> Iterator[Check]:
    """Compare what the installed packages ask of each other, as `pip check` does."""
    from packaging.requirements import Requirement

    for name in (each.name for each in needed if _installed(each.name) is not None):
        for requirement in map(Requirement, metadata.requires(name) or []):
            if not _applies(requirement) or _plain(requirement.name) in skipped:
                continue
            found = _installed(requirement.name)
            if found is None or not requirement.specifier.contains(found, prereleases=True):
                state = "is not installed" if found is None else f"{found} is installed"
                yield Check(
                    requirement.name,
                    "problem",
                    f"{state}, and {name} {_installed(name)} needs {requirement}",
                    f"pip install '{requirement.name}{requirement.specifier}'",
                )


def check_interpreter() -> Iterator[Check]:
    """Load the LiteRT interpreter, which fails where its wheel does not fit the system."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        return  # said among the versions
    try:
        import mobilenet_tf.tflite.interpreter  # noqa: F401  # importing it is the test
    except Exception as error:  # a native library that does not fit raises what it likes
        yield Check(
            "LiteRT",
            "problem",
            f"the interpreter does not load: {error}",
            "pip install --force-reinstall ai-edge-litert",
        )
    else:
        yield Check("LiteRT", "ok", "the interpreter loads; it takes tf.lite's place")


def check_keras() -> Iterator[Check]:
    """Look at the variables that change what `tf.keras` is, and how fast TensorFlow computes."""
    legacy = os.environ.get("TF_USE_LEGACY_KERAS")
    advice = "in code of your own write `import tf_keras as keras`, not tf.keras"
    if legacy is None:
        yield Check(
            "TF_USE_LEGACY_KERAS",
            "ok",
            f"not set: tf.keras is Keras 3 ({_installed('keras') or 'not installed'}), which"
            f" tensorflow-model-optimization refuses. mtf uses tf_keras and is fine; {advice}",
        )
    elif legacy.lower() in ("1", "true"):
        yield Check("TF_USE_LEGACY_KERAS", "ok", f"{legacy}: tf.keras is tf_keras (Keras 2)")
    else:
        yield Check(
            "TF_USE_LEGACY_KERAS",
            "warning",
            f"{legacy!r} leaves tf.keras at Keras 3; mtf uses tf_keras all the same",
            f"unset it, or set it to 1; {advice}",
        )
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        yield Check(
            "TF_ENABLE_ONEDNN_OPTS",
            "warning",
            "0 turns off the oneDNN kernels: training on an x86 CPU takes much longer",
            "unset TF_ENABLE_ONEDNN_OPTS",
        )


def check_cpu() -> Iterator[Check]:
    """Look at the processor's features that matter, and at the cores this process may use."""
    machine, features = platform.machine(), read_cpu_features()
    cores = usable_cores()
    total = os.cpu_count() or cores
    count = f"{cores} core{'s' if cores != 1 else ''}" + (f" of {total}" if cores < total else "")
    if features is None:
        yield Check("cpu", "ok", f"{machine}, {count}; its features cannot be read here")
    elif is_x86() and "avx" not in features:
        yield Check(
            "cpu",
            "problem",
            f"{machine}, {count}, without AVX: TensorFlow's wheels end with an illegal instruction",
            "use another machine; if this is a virtual one, give it the host's CPU model",
        )
    elif is_x86() and "avx2" not in features:
        yield Check(
            "cpu",
            "warning",
            f"{machine}, {count}, without AVX2: training and int8 inference are slow",
            "if this is a virtual machine, give it the host's CPU model",
        )
    else:
        known = ", ".join(list_features(features)) or "no special features"
        yield Check("cpu", "ok", f"{machine}, {count}: {known}")


def check_gpu() -> Iterator[Check]:
    """Say that none is needed; training these small models on a CPU takes minutes to an hour."""
    found = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia").exists()
    yield Check("gpu", "ok", "an NVIDIA driver is here" if found else "none, and none is needed")


def check_memory() -> Iterator[Check]:
    """Compare the memory that is free with what training takes."""
    free, total = memory_bytes()
    detail = f"{free / GIB:.1f} GiB free of {total / GIB:.1f}"
    if free >= _TRAINING_GIB * GIB:
        yield Check("memory", "ok", detail)
        return
    level: Level = "warning" if free >= GIB else "problem"
    yield Check(
        "memory",
        level,
        f"{detail}; training on CIFAR-10 takes up to {_TRAINING_GIB:.0f} GiB",
        "close other programs; `mtf run quickstart` takes least",
    )


def check_disk(out: Path) -> Iterator[Check]:
    """Look at the folder that runs are written to: room, and leave to write."""
    folder = _nearest_folder(out)
    name = f"runs in {out}"
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        yield Check(name, "problem", f"{folder} cannot be written to", "choose another with --out")
        return
    yield _judge_room(name, folder, _RUN_GIB)
    temporary = Path(tempfile.gettempdir())
    yield _judge_room(f"temporary files in {temporary}", temporary, 0.1)


def check_data_variable() -> Iterator[Check]:
    """Look at where `TFDS_DATA_DIR` points to, if it is set."""
    named = os.environ.get("TFDS_DATA_DIR")
    if named is None:
        return
    folder = Path(named).expanduser()
    fix = "correct or unset TFDS_DATA_DIR"
    if not named.strip():
        yield Check("TFDS_DATA_DIR", "warning", "is set and empty", fix)
    elif folder.is_dir():
        yield Check("TFDS_DATA_DIR", "ok", str(folder))
    elif folder.exists():
        yield Check("TFDS_DATA_DIR", "problem", f"{folder} is a file, not a folder", fix)
    else:
        yield Check(
            "TFDS_DATA_DIR", "warning", f"{folder} does not exist; downloads would make it", fix
        )


def check_datasets(data_dir: Path | None, reachable: Callable[[], bool]) -> Iterator[Check]:
    """Look for each dataset, and whether a missing one can be had.

    `reachable` is asked only when one is missing.
    """
    from mobilenet_tf.data.catalog import DATASETS
    from mobilenet_tf.data.sources import default_data_dir, find_dataset

    root = default_data_dir() if data_dir is None else data_dir
    missing = False
    for name, info in DATASETS.items():
        status = find_dataset(name, data_dir)
        if status.ready and info.source == "scikit-learn" and _installed("scikit-learn") is None:
            yield Check(name, "problem", "scikit-learn is missing", "pip install scikit-learn")
        elif status.ready:
            yield Check(name, "ok", status.detail)
        elif reachable():
            missing = True
            yield Check(name, "ok", f"{status.detail}; its server answers")
        else:
            yield Check(
                name,
                "warning",
                f"not in {root}, and {DATA_SERVER} does not answer",
                f"run `mtf datasets prepare {name}` where there is a network, copy the folder here"
                " and name its parent with --data-dir or TFDS_DATA_DIR; `mtf run quickstart` needs"
                " no download",
            )
    if missing:
        folder = _nearest_folder(root)
        if folder.is_dir() and os.access(folder, os.W_OK):
            yield _judge_room(f"datasets in {folder}", folder, _PREPARED_GIB)
        else:
            yield Check(
                "datasets", "warning", f"{folder} cannot be written to", "choose another --data-dir"
            )


class _Reachability:
    """Whether the data's server answers, asked beside everything else.

    A thread, since looking up a name knows no timeout.
    """

    def __init__(self) -> None:
        self._answered = False
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def __call__(self) -> bool:
        self._thread.join(NETWORK_TIMEOUT_S)
        return self._answered

    def _ask(self) -> None:
        request = urllib.request.Request(DATA_SERVER, method="HEAD")  # https
        try:
            with urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT_S):  # noqa: S310  # https
                self._answered = True
        except urllib.error.HTTPError:
            self._answered = True  # an answer all the same
        except (OSError, ValueError):  # ValueError: a proxy variable that is no URL
            self._answered = False


def _judge_room(name: str, folder: Path, needed_gib: float) -> Check:
    free_gib = shutil.disk_usage(folder).free / GIB
    if free_gib >= needed_gib:
        return Check(name, "ok", f"{free_gib:.1f} GiB free")
    level: Level = "warning" if free_gib >= needed_gib / 10 else "problem"
    detail = f"{free_gib:.2f} GiB free; {needed_gib:g} GiB may be needed"
    return Check(name, level, detail, f"free some space in {folder}, or choose another folder")


def _nearest_folder(path: Path) -> Path:
    """Return the nearest of a path and its parents that exists."""
    path = path.expanduser().absolute()
    return next((each for each in (path, *path.parents) if each.exists()), path)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _plain(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
