"""A .tflite file runs in a process of its own: whether it can, and how much memory that takes.

The interpreter is C++ that trusts what it is given. A file that ends it ends a process that has
nothing to lose, within limits of memory and time.
"""

from __future__ import annotations

import contextlib
import hashlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.system.child import python_command

_MEMORY_LIMIT_BYTES = 4 * 2**30  # of addresses; AlexNet in float32 takes 1.5 GiB
_TIME_LIMIT_S = 120
_INVOCATIONS = 5
_proven: set[tuple[bytes, bool]] = set()  # SHA-256 of the files that have run, by which kernels


def prove(content: bytes, name: str, *, reference_kernels: bool = False) -> None:
    """Let a process of its own classify an image with a file, unless one has done so before.

    Raises:
        MtfError: it cannot, or it needs more than 4 GiB of memory or two minutes.
    """
    key = (hashlib.sha256(content).digest(), reference_kernels)
    if key not in _proven:
        _run("prove_main", name, "reference" if reference_kernels else "", content=content)
        _proven.add(key)


def measure_peak_memory(path: str | Path, *, threads: int = 1) -> int:
    """Return by how many bytes a new process grows at most while it loads and runs a file.

    Interpreter, mapped file, packed weights and activations count; loaded code does not.

    Raises:
        UsageError: there is no such file.
        MtfError: as `prove`.
    """
    if not Path(path).is_file():
        raise UsageError(f"{path} does not exist; give the path of a .tflite file")
    try:
        return int(_run("measure_main", str(path), str(Path(path).absolute()), str(threads)))
    except ValueError as error:
        raise MtfError(f"the memory of {path} could not be measured") from error


def _run(main: str, name: str, *arguments: str, content: bytes = b"") -> str:
    """Return what a function of this module prints in a process of its own."""
    command = python_command(f"from {__name__} import {main}; {main}()", name, *arguments)
    try:
        done = subprocess.run(  # noqa: S603  # our own module, in our own interpreter
            command, input=content, capture_output=True, timeout=_TIME_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MtfError(f"LiteRT took over {_TIME_LIMIT_S} s to run {name}") from error
    if done.returncode == 0:
        return done.stdout.decode()
    told = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode > 0 and told:
        raise MtfError(told[-1][:1000])
    end = -done.returncode
    how = signal.Signals(end).name if end in set(signal.Signals) else f"exit code {done.returncode}"
    raise MtfError(
        f"{name} ends the process that runs it ({how}): it is damaged, or needs more than"
        f" {_MEMORY_LIMIT_BYTES / 2**30:.0f} GiB of memory; export it again"
    )


@contextlib.contextmanager
def _limited(name: str) -> Iterator[None]:
    """Limit the memory of this process, and turn what a file causes into its last words."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows and macOS
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT_BYTES, _MEMORY_LIMIT_BYTES))
    try:
        yield
    except MtfError as error:
        sys.exit(" ".join(str(error).split()))
    except MemoryError:
        sys.exit(f"{name} needs more than {_MEMORY_LIMIT_BYTES / 2**30:.0f} GiB of memory")
    except Exception as error:  # LiteRT and numpy have many kinds of failure
        sys.exit(" ".join(f"LiteRT cannot run {name}: {error}".split()))


def prove_main() -> None:
    """Classify an image with the file on standard input; the command line has its name."""
    import numpy as np

    from mobilenet_tf.tflite.interpreter import BATCH_SIZE, Classifier

    name, kernels = sys.argv[1:]
    with _limited(name):
        content = sys.stdin.buffer.read()
        classifier = Classifier.load(content, name=name, reference_kernels=kernels == "reference")
        classifier.predict(np.zeros((1, *classifier.input_shape), np.uint8))
        classifier.resize_batch(BATCH_SIZE)


def _read_peak_bytes(process: Any) -> int:
    """Return the highest resident memory of this process so far; 0 where nothing records it.

    Linux's ru_maxrss outlives exec and would show the parent's peak, hence VmHWM there.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(getattr(process.memory_info(), "peak_wset", 0))


def measure_main() -> None:
    """Print by how many bytes this process grows at most over loading and running a file.

    The command line has its name, the file and the number of threads.
    """
    import numpy as np

    from mobilenet_tf.tflite.interpreter import load_interpreter

    name, path, threads = sys.argv[1:]
    process = psutil.Process()
    before, peak_before = process.memory_info().rss, _read_peak_bytes(process)
    with _limited(name):
        interpreter = load_interpreter(path, int(threads))
        seen = [process.memory_info().rss]
        details = interpreter.get_input_details()[0]
        image = np.zeros(details["shape"], dtype=details["dtype"])
        for _ in range(_INVOCATIONS):
            interpreter.set_tensor(details["index"], image)
            interpreter.invoke()
            seen.append(process.memory_info().rss)
    peak = _read_peak_bytes(process)
    # An import may have peaked higher than all of this; then the samples are what is known.
    print(max(*seen, peak if peak > peak_before else 0) - before)
