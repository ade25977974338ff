"""The environment: what fits together, what is missing, and how to fix it.

Nothing heavy is imported, and every part is checked even where another is broken.
"""

from __future__ import annotations

import contextlib
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
INSTALL = f"install {PROJECT} with its dependencies: `pip install .` in its folder"
DATA_SERVER = "https://www.cs.toronto.edu/~kriz/cifar.html"
NETWORK_TIMEOUT_S = 3.0
GIB = 2**30
NEEDS = {  # GiB that are enough, GiB below which it is a problem, and how to get more
    "memory": (3.0, 1.0, "close other programs; `mtf run quickstart` needs least"),
    "runs": (1.0, 0.1, "free some space, or choose another folder with --out"),
    "temporary files": (0.1, 0.01, "free some space, or set TMPDIR to another folder"),
    "datasets": (1.0, 0.1, "free some space, or choose another folder with --data-dir"),
}
X86_NEEDS: dict[str, tuple[Level, str]] = {  # feature -> level without it, and why
    "avx": ("problem", "AVX: TensorFlow's wheels crash"),
    "avx2": ("warning", "AVX2: training and int8 inference are slow"),
}


@dataclass(frozen=True)
class Check:
    """The result of one check; `fix` says what to do where it is not ok."""

    name: str
    level: Level
    detail: str
    fix: str = ""


def examine(
    datasets: Sequence[tuple[str, bool, str]] = (),
    *,
    data_dir: Path | None = None,
    out: Path = Path("artifacts"),
) -> list[Check]:
    """Check this machine; missing datasets go to `data_dir`, runs to `out`.

    A dataset is its name, whether it is ready, and where it is or comes from.
    """
    answers = _ask_server()  # while the rest is checked
    parts: dict[str, Callable[[], Iterable[Check]]] = {
        "versions": check_versions,
        "LiteRT": check_interpreter,
        "variables": check_variables,
        "cpu": check_cpu,
        "room": lambda: check_room(out),
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


def check_versions() -> Iterator[Check]:
    """Compare what is installed with what this project needs, and what those need in turn."""
    needed, origin = find_requirements()
    if not needed:
        yield Check("versions", "warning", f"{origin}: its requirements are unknown", INSTALL)
        return
    yield Check(PROJECT, "ok", f"{__version__}, {origin}, in {sys.prefix}")
    wanted = [(PROJECT, each) for each in needed]
    for owner in needed[1:]:
        version = _installed(owner.name)
        if version is not None:
            inner = _parse(metadata.requires(owner.name))
            wanted += [(f"{owner.name} {version}", each) for each in inner]
    checks: dict[str, Check] = {}  # by package; the first that is wrong is what is shown
    for needed_by, each in wanted:
        version, name = _installed(each.name), each.name.lower().replace("_", "-")
        if version is not None and each.specifier.contains(version, prereleases=True):
            if needed_by == PROJECT:
                checks[name] = Check(each.name, "ok", version)
        elif name not in checks or checks[name].level == "ok":
            state = "not installed" if version is None else f"{version} is installed"
            fix = f"pip install '{each.name}{each.specifier}'"
            if name == "python":
                fix = "make a virtual environment with such a Python"
            checks[name] = Check(each.name, "problem", f"{state}; {needed_by} needs {each}", fix)
    yield from checks.values()


def find_requirements() -> tuple[list[Requirement], str]:
    """Return what the project needs here, Python first, and where that comes from."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        known = metadata.metadata(PROJECT)
        pythons, lines, origin = known["Requires-Python"], metadata.requires(PROJECT), "installed"
    except metadata.PackageNotFoundError:
        project_file = Path(__file__).resolve().parents[2] / "pyproject.toml"
        try:
            project = tomllib.loads(project_file.read_text(encoding="utf-8"))["project"]
            pythons, lines = project["requires-python"], project["dependencies"]
        except (OSError, ValueError, KeyError):
            return [], f"{PROJECT} is not installed"
        origin = "run from a checkout"
    return _parse([f"python{pythons}", *(lines or ())]), origin


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
        folder = Path(os.path.expanduser(os.environ[name]))
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
    missing = [name for name in X86_NEEDS if is_x86() and name not in (features or ())]
    if features is None:
        yield Check("cpu", "ok", f"{detail}; its features cannot be read here")
    elif missing:
        level, why = X86_NEEDS[missing[0]]
        fix = "use another machine, or give this virtual one the host's CPU model"
        yield Check("cpu", level, f"{detail}, without {why}", fix)
    else:
        known = ", ".join(list_features(features)) or "no special features"
        yield Check("cpu", "ok", f"{detail}: {known}")
    driver = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia").exists()
    yield Check("gpu", "ok", "an NVIDIA driver is here" if driver else "none, and none is needed")


def check_room(out: Path) -> Iterator[Check]:
    """Check that runs and temporary files have room, and training on CIFAR-10 its memory."""
    yield _check_folder("runs", out)
    yield _check_folder("temporary files", Path(tempfile.gettempdir()))
    free, total = memory_bytes()
    yield _check_free("memory", "memory", free, f" of {total / GIB:.1f}")


def check_datasets(
    datasets: Sequence[tuple[str, bool, str]], data_dir: Path, answers: Callable[[], bool]
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
        check = _check_folder("datasets", data_dir)
        yield replace(check, level="warning") if check.level == "problem" else check


def _ask_server() -> Callable[[], bool]:
    """Ask whether the data's server answers, in a thread: a name look-up knows no timeout."""
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(DATA_SERVER, method="HEAD")  # https
        with contextlib.suppress(OSError, ValueError):  # ValueError: a proxy that is no URL
            with contextlib.suppress(urllib.error.HTTPError):  # an answer all the same
                urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT_S).close()  # noqa: S310  # https
            answered.set()

    def answers() -> bool:
        thread.join(NETWORK_TIMEOUT_S)
        return answered.is_set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return answers


def _check_folder(what: str, path: Path) -> Check:
    name, path = f"{what} in {path}", Path(os.path.expanduser(path)).absolute()
    folder = next((each for each in (path, *path.parents) if each.exists()), path)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return Check(name, "problem", f"{folder} cannot be written to", "choose another folder")
    return _check_free(name, what, shutil.disk_usage(folder).free)


def _check_free(name: str, what: str, free_bytes: int, rest: str = "") -> Check:
    enough_gib, least_gib, fix = NEEDS[what]
    free_gib = free_bytes / GIB
    if free_gib >= enough_gib:
        return Check(name, "ok", f"{free_gib:.1f} GiB free{rest}")
    level: Level = "warning" if free_gib >= least_gib else "problem"
    detail = f"{free_gib:.2f} GiB free{rest}; up to {enough_gib:g} GiB may be needed"
    return Check(name, level, detail, fix)


def _installed(name: str) -> str | None:
    if name == "python":
        return platform.python_version()
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _parse(lines: Iterable[str] | None) -> list[Requirement]:
    """Return the requirements that apply here, without those of extras."""
    from packaging.requirements import Requirement

    parsed = map(Requirement, lines or ())
    return [each for each in parsed if not each.marker or each.marker.evaluate({"extra": ""})]
