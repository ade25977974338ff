"""One run on several workers: the chief's folder is the run, the others work in copies of it."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mobilenet_tf.runs.folder import RECIPE_FILE, RunFolder
from mobilenet_tf.system.cluster import find_place

SHARED_STAGES = ("train", "qat")  # that all workers do; the chief does the others alone


@contextmanager
def joined(run: RunFolder) -> Iterator[RunFolder]:
    """Yield the folder that this process works in: `run`, or a copy of the chief's for a while.

    With several workers it waits for all of them, at the beginning and at the end.
    """
    if find_place().count == 1:
        yield run
        return
    from mobilenet_tf.training.workers import join_workers, others_alive

    with others_alive():
        workers = join_workers()
        if workers.is_chief:
            workers.tell(_pack(run))
            yield run
            workers.wait()
            return
        with tempfile.TemporaryDirectory(prefix="mobilenet_tf_") as folder:
            copy = Path(folder) / run.name
            copy.mkdir()
            with zipfile.ZipFile(io.BytesIO(workers.tell())) as archive:
                archive.extractall(copy)
            yield RunFolder(copy)
        workers.wait()  # a chief that fails later has to be started again with all others


def _pack(run: RunFolder) -> bytes:
    """Return what the next stage of a run continues from, as a zip file."""
    folders = [place(stage) for stage in SHARED_STAGES for place in (run.stage, run.partial)]
    files = [run.path / RECIPE_FILE, *(path for folder in folders for path in folder.rglob("*"))]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in files:
            if path.is_file():
                archive.write(path, path.relative_to(run.path))
    return content.getvalue()
