"""Hold back what native libraries write to standard error; show it when something fails."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Redirect file descriptor 2 to a temporary file; replay it if the block raises an Exception.

    TensorFlow's C++ code and the TFLite converter write there directly, past Python's logging.
    """
    sys.stderr.flush()
    try:
        saved_fd = os.dup(2)
    except OSError:  # no standard error at all (a detached process): nothing to hold back
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            sys.stderr.flush()
            os.dup2(saved_fd, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved_fd, 2)
            os.close(saved_fd)
