"""What goes wrong for a user: a sentence that names the thing, its value and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MtfError(Exception):
    """A failure while working; the command ends with exit code 1."""

    exit_code = 1


class UsageError(MtfError):
    """A request that cannot be carried out as written; exit code 2."""

    exit_code = 2


def suggest(name: str, choices: Iterable[str]) -> str:
    """Return the sentence that lists `choices` and, where one is close to `name`, points at it."""
    known = sorted(choices)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}known: {', '.join(known)}"
