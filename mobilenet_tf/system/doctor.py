"""The environment: what fits together, what is missing, and how to fix it.

Nothing heavy is imported, and every part is looked at even where another is broken.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mobilenet_tf import __version__
from mobilenet_tf.system.child import python_command
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


@dataclass(frozen=True)
class Dataset:
    """Where a dataset is, or where it would come from; `package` is what reads it."""

    name: str
    ready: bool
    detail: str
    package: str = ""


def examine(
    datasets: Sequence[Dataset] = (),
    *,
    data_dir: Path | None = None,
    out: Path = Path("artifacts"),
) -> list[Check]:
    """Return everything worth knowing about this machine and its Python, in a few seconds.

    Args:
        datasets: the datasets and their states.
        data_dir: the folder that missing ones would be prepared in.
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
        ("datasets", lambda: check_datasets(datasets, data_dir, reachable)),
    )
    checks: list[Check] = []
    for name, look in parts:
        try:
            checks += look()
        except ImportError as error:
            checks.append(Check(name, "problem", f"cannot be checked: {error}", INSTALL))
        except OSError as error:
            checks.append(Check(name, "warning", f"cannot be checked: {error}"))
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
    from packaging.utils import canonicalize_name

    needed, origin = find_requirements()
    if not needed:
        yield Check("versions", "warning", f"{origin}: its requirements are unknown", INSTALL)
        return
    yield Check(PROJECT, "ok", f"{__version__}, {origin}")
    wanted = [(PROJECT, requirement) for requirement in needed]
    for name, version in ((each.name, _installed(each.name)) for each in needed):
        if version is not None:
            wanted += [(f"{name} {version}", each) for each in _parse(metadata.requires(name))]
    broken: set[str] = set()
    for owner, requirement in wanted:
        found, name = _installed(requirement.name), canonicalize_name(requirement.name)
        if found is not None and requirement.specifier.contains(found, prereleases=True):
            if owner == PROJECT:
                yield Check(requirement.name, "ok", found)
        elif name not in broken:
            broken.add(name)
            state = "not installed" if found is None else f"{found} is installed"
            why = _REASONS.get(name, f"{owner} needs {requirement}")
            fix = f"pip install '{requirement.name}{requirement.specifier}'"
            yield Check(requirement.name, "problem", f"{state}; {why}", fix)


# What goes wrong without it is seen late, and far from its cause.
_REASONS = {
    "importlib-resources": "tensorflow-datasets downloads with it, and does not declare it",
    "tf-keras": "tensorflow-model-optimization accepts its (Keras 2) models only",
    "ai-edge-litert": "it runs .tflite files, as tf.lite.Interpreter is deprecated",
}


def find_requirements() -> tuple[list[Requirement], str]:
    """Return what the project needs here, and where that is written.

    It is read from the installed package, or from pyproject.toml when run from a checkout.
    """
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
    return _parse(lines), origin


def check_interpreter() -> Iterator[Check]:
    """Load the LiteRT interpreter in a process of its own, which may die of it."""
    if _installed("ai-edge-litert") is None:
        return  # said among the versions
    command = python_command("import mobilenet_tf.tflite.interpreter")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603  # our own
    if done.returncode == 0:
        yield Check("LiteRT", "ok", "the interpreter loads")
        return
    why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    if done.returncode < 0:
        why = f"its process ended with {signal.Signals(-done.returncode).name}"
    yield Check(
        "LiteRT",
        "problem",
        f"the interpreter does not load: {why}",
        "pip install --force-reinstall ai-edge-litert",
    )


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


def check_datasets(
    datasets: Sequence[Dataset], data_dir: Path | None, reachable: Callable[[], bool]
) -> Iterator[Check]:
    """Say which datasets are ready, and whether a missing one can be downloaded.

    `reachable` is asked only when one is missing.
    """
    root = Path.cwd() if data_dir is None else data_dir
    missing = False
    for dataset in datasets:
        name, package = dataset.name, dataset.package
        if dataset.ready and package and _installed(package) is None:
            yield Check(name, "problem", f"{package} is missing", f"pip install {package}")
        elif dataset.ready:
            yield Check(name, "ok", dataset.detail)
        elif reachable():
            missing = True
            yield Check(name, "ok", f"{dataset.detail}; its server answers")
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


def _parse(lines: Iterable[str] | None) -> list[Requirement]:
    """Return the requirements that apply here, without those of extras."""
    from packaging.requirements import Requirement

    parsed = map(Requirement, lines or ())
    return [each for each in parsed if not each.marker or each.marker.evaluate({"extra": ""})]
