"""Python processes of our own, which import nothing from the current folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PACKAGES = Path(__file__).resolve().parents[2]


def python_command(code: str, *arguments: str) -> list[str]:
    """Return the command that runs `code` with this Python's modules.

    Isolated (-I), so that a `psutil.py` in the current folder is never imported, whatever
    PYTHONPATH says; the folder of this package is searched all the same.
    """
    here = Path.cwd()
    places = [Path(place) for place in sys.path if place and os.path.isabs(place)]
    search = [str(place) for place in places if place != here or place == _PACKAGES]
    if str(_PACKAGES) not in search:
        search.insert(0, str(_PACKAGES))
    return [sys.executable, "-I", "-c", f"import sys; sys.path[:] = {search!r}; {code}", *arguments]
