"""Peak memory of the interpreter, measured in a process that loads nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.system.child import python_command

_INVOCATIONS = 5
_TIME_LIMIT_S = 120


def measure_peak_memory(path: str | Path, *, threads: int = 1) -> int:
    """Return by how many bytes a new process grows at most while it loads and runs a file.

    Interpreter, mapped file, packed weights and activations count; loaded code does not.

    Raises:
        UsageError: there is no such file.
        MtfError: LiteRT cannot run the file.
    """
    if not Path(path).is_file():
        raise UsageError(f"{path} does not exist; give the path of a .tflite file")
    command = python_command(
        f"from {__name__} import main; main()", str(Path(path).absolute()), str(threads)
    )
    try:
        done = subprocess.run(  # noqa: S603  # our own module, in our own interpreter
            command, capture_output=True, text=True, timeout=_TIME_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MtfError(
            f"running {path} {_INVOCATIONS} times took over {_TIME_LIMIT_S} s"
        ) from error
    try:
        return int(done.stdout)
    except ValueError as error:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise MtfError(f"cannot measure the memory of {path}: {last}") from error


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


def main() -> None:
    """Print by how many bytes this process grows at most over loading and running a file.

    The command line has the file and the number of threads.
    """
    import numpy as np

    from mobilenet_tf.tflite.interpreter import load_interpreter

    path, threads = sys.argv[1:]
    process = psutil.Process()
    before, peak_before = process.memory_info().rss, _read_peak_bytes(process)
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
