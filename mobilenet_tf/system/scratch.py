"""The temporary files of a command, those of libraries too, in one folder that goes with it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def scratch_folder() -> Iterator[None]:
    """Keep the temporary files of this process in a new folder, and remove it at the end.

    TensorFlow leaves compiled code behind for every function that it traces. Where there is no
    room for the folder, whoever needs a temporary file says so.
    """
    before = tempfile.tempdir
    try:
        folder = tempfile.mkdtemp(prefix="mtf-")
    except OSError:
        yield
        return
    tempfile.tempdir = folder
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)
