"""The environment: what fits together, what is missing, and how to fix it.

Nothing heavy is imported, and every part is checked even where another is broken.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

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
INSTALL = f"install {PROJECT} with its dependencies: `pip install .` in its folder"
PYTHONS = ((3, 10), (3, 13))  # the first and the last that TensorFlow and LiteRT have wheels for
DATA_SERVER = "https://www.cs.toronto.edu/~kriz/cifar.html"
NETWORK_TIMEOUT_S = 3.0
GIB = 2**30


@dataclass(frozen=True)
class Check:
    """The result of one check; `fix` says what to do where it is not ok."""

    name: str
    level: Level
    detail: str
    fix: str = ""


class Dataset(NamedTuple):
    """Whether a dataset is ready, and where it is or comes from."""

    name: str
    ready: bool
    detail: str


class _Need(NamedTuple):
    enough_gib: float
    least_gib: float  # less is a problem
    fix: str


_TRAINING = _Need(3.0, 1.0, "close other programs; `mtf run quickstart` needs least")
_RUN = _Need(1.0, 0.1, "free some space, or choose another folder with --out")
_TEMPORARY = _Need(0.1, 0.01, "free some space, or set TMPDIR to another folder")
_PREPARED = _Need(1.0, 0.1, "free some space, or choose another folder with --data-dir")

_X86_NEEDS: tuple[tuple[str, Level, str], ...] = (  # feature, level without it, and why
    ("avx", "problem", "AVX: TensorFlow's wheels crash"),
    ("avx2", "warning", "AVX2: training and int8 inference are slow"),
)


def examine(
    datasets: Sequence[Dataset] = (),
    *,
    data_dir: Path | None = None,
    out: Path = Path("artifacts"),
) -> list[Check]:
    """Check this machine; missing datasets go to `data_dir`, runs to `out`."""
    answers = _ask_server()  # while the rest is checked
    parts: dict[str, Callable[[], Iterable[Check]]] = {
        "python": check_python,
        "versions": check_versions,
        "LiteRT": check_interpreter,
        "variables": check_variables,
        "cpu": check_cpu,
        "memory": check_memory,
        "disk": lambda: check_disk(out),
        "datasets": lambda: check_datasets(datasets, data_dir or Path.cwd(), answers),
    }
    checks: list[Check] = []
    for name, check in parts.items():
        try:
            checks += check()
        except ImportError as error:
            checks.append(Check(name, "problem", f"cannot be checked: {error}", INSTALL))
        except OSError as error:
            checks.append(Check(name, "warning", f"cannot be checked: {error}"))
    return checks


def check_python() -> Iterator[Check]:
    """Check the interpreter: its version."""
    version = platform.python_version()
    first, last = (".".join(map(str, each)) for each in PYTHONS)
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        detail = f"{version}; TensorFlow and LiteRT have wheels for {first} to {last}"
        yield Check("python", "problem", detail, f"make a virtual environment with Python {last}")
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
    for owner in needed:
        version = _installed(owner.name)
        if version is not None:
            inner = _parse(metadata.requires(owner.name))
            wanted += [(f"{owner.name} {version}", requirement) for requirement in inner]
    broken: set[str] = set()
    for needed_by, requirement in wanted:
        version, name = _installed(requirement.name), canonicalize_name(requirement.name)
        if version is not None and requirement.specifier.contains(version, prereleases=True):
            if needed_by == PROJECT:
                yield Check(requirement.name, "ok", version)
        elif name not in broken:
            broken.add(name)
            state = "not installed" if version is None else f"{version} is installed"
            fix = f"pip install '{requirement.name}{requirement.specifier}'"
            detail = f"{state}; {needed_by} needs {requirement}"
            yield Check(requirement.name, "problem", detail, fix)


def find_requirements() -> tuple[list[Requirement], str]:
    """Return what the project needs here, and where that comes from: the package or a checkout."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        return _parse(metadata.requires(PROJECT)), "installed"
    except metadata.PackageNotFoundError:
        project_file = Path(__file__).resolve().parents[2] / "pyproject.toml"
    try:
        project = tomllib.loads(project_file.read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        return [], f"{PROJECT} is not installed"
    return _parse(project["dependencies"]), "run from a checkout"


def check_interpreter() -> Iterator[Check]:
    """Load the LiteRT interpreter in a process of its own, in case it crashes."""
    if _installed("ai-edge-litert") is None:
        return  # reported among the versions
    command = python_command("import mobilenet_tf.tflite.interpreter")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603  # our own
    if done.returncode == 0:
        yield Check("LiteRT", "ok", "the interpreter loads")
        return
    why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    if done.returncode < 0:
        why = f"its process ended with {signal.Signals(-done.returncode).name}"
    fix = "pip install --force-reinstall ai-edge-litert"
    yield Check("LiteRT", "problem", f"the interpreter does not load: {why}", fix)


def check_variables() -> Iterator[Check]:
    """Check the environment variables that change `tf.keras`, TensorFlow's speed and the data."""
    name = "TF_USE_LEGACY_KERAS"
    legacy = os.environ.get(name)
    if legacy is None or legacy.lower() in ("1", "true"):
        yield Check(name, "ok", f"{legacy or 'not set'}; mtf uses tf_keras either way")
    else:
        fix = "unset it, or set it to 1; in your own code write `import tf_keras as keras`"
        yield Check(name, "warning", f"{legacy!r}: tf.keras is Keras 3; mtf uses tf_keras", fix)
    name = "TF_ENABLE_ONEDNN_OPTS"
    if os.environ.get(name) == "0":
        yield Check(name, "warning", "0: training on an x86 CPU takes much longer", f"unset {name}")
    name = "TFDS_DATA_DIR"
    if name in os.environ:
        folder = Path(os.environ[name]).expanduser()
        if os.environ[name].strip() and folder.is_dir():
            yield Check(name, "ok", str(folder))
        else:
            level: Level = "problem" if folder.is_file() else "warning"
            yield Check(name, level, f"{str(folder)!r} is no folder", f"correct or unset {name}")


def check_cpu() -> Iterator[Check]:
    """Check the processor's features and the usable cores; say that no GPU is needed."""
    features, cores = read_cpu_features(), usable_cores()
    total = os.cpu_count() or cores
    detail = f"{platform.machine()}, {cores} core{'s' if cores != 1 else ''}"
    detail += f" of {total}" if cores < total else ""
    missing = [need for need in _X86_NEEDS if is_x86() and need[0] not in (features or ())]
    if features is None:
        yield Check("cpu", "ok", f"{detail}; its features cannot be read here")
    elif missing:
        _, level, why = missing[0]
        fix = "use another machine, or give this virtual one the host's CPU model"
        yield Check("cpu", level, f"{detail}, without {why}", fix)
    else:
        known = ", ".join(list_features(features)) or "no special features"
        yield Check("cpu", "ok", f"{detail}: {known}")
    driver = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia").exists()
    yield Check("gpu", "ok", "an NVIDIA driver is here" if driver else "none, and none is needed")


def check_memory() -> Iterator[Check]:
    """Compare the free memory with what training on CIFAR-10 needs."""
    free, total = memory_bytes()
    yield _check_free("memory", free, _TRAINING, f" of {total / GIB:.1f}")


def check_disk(out: Path) -> Iterator[Check]:
    """Check that runs and temporary files can be written and have room."""
    yield _check_folder(f"runs in {out}", out, _RUN)
    temporary = Path(tempfile.gettempdir())
    yield _check_folder(f"temporary files in {temporary}", temporary, _TEMPORARY)


def check_datasets(
    datasets: Sequence[Dataset], data_dir: Path, answers: Callable[[], bool]
) -> Iterator[Check]:
    """Say which datasets are ready, and whether `answers`, their server, can give the others."""
    downloadable = False
    for name, ready, detail in datasets:
        if ready:
            yield Check(name, "ok", detail)
        elif answers():
            downloadable = True
            yield Check(name, "ok", f"{detail}; its server answers")
        else:
            fix = f"`mtf datasets prepare {name}` with a network, then --data-dir; or `quickstart`"
            away = f"not in {data_dir}, and {DATA_SERVER} does not answer"
            yield Check(name, "warning", away, fix)
    if downloadable:
        check = _check_folder(f"datasets in {data_dir}", data_dir, _PREPARED)
        yield replace(check, level="warning") if check.level == "problem" else check


def _ask_server() -> Callable[[], bool]:
    """Ask whether the data's server answers, in a thread: a name look-up knows no timeout."""
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(DATA_SERVER, method="HEAD")  # https
        try:
            urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT_S).close()  # noqa: S310  # https
        except urllib.error.HTTPError:
            pass  # an answer all the same
        except (OSError, ValueError):  # ValueError: a proxy variable that is no URL
            return
        answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()

    def answers() -> bool:
        thread.join(NETWORK_TIMEOUT_S)
        return answered.is_set()

    return answers


def _check_folder(name: str, path: Path, need: _Need) -> Check:
    path = path.expanduser().absolute()
    folder = next((each for each in (path, *path.parents) if each.exists()), path)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return Check(name, "problem", f"{folder} cannot be written to", "choose another folder")
    return _check_free(name, shutil.disk_usage(folder).free, need)


def _check_free(name: str, free_bytes: int, need: _Need, rest: str = "") -> Check:
    free_gib = free_bytes / GIB
    if free_gib >= need.enough_gib:
        return Check(name, "ok", f"{free_gib:.1f} GiB free{rest}")
    level: Level = "warning" if free_gib >= need.least_gib else "problem"
    detail = f"{free_gib:.2f} GiB free{rest}; up to {need.enough_gib:g} GiB may be needed"
    return Check(name, level, detail, need.fix)


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
