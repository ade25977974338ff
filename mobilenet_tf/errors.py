"""What goes wrong for a user: a sentence that names the thing, its value and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

CLOSE = 0.6  # share of letters in common that makes a suggestion worth giving


class MtfError(Exception):
    """A failure while working; the command ends with exit code 1."""

    exit_code = 1


class UsageError(MtfError):
    """A request that cannot be carried out as written; exit code 2."""

    exit_code = 2


def suggest(name: str, choices: Iterable[str]) -> str:
    """Return the sentence that lists `choices` and, where one is close to `name`, points at it."""
    known = sorted(choices)
    matcher = difflib.SequenceMatcher(b=name)
    closeness = {}
    for choice in known:
        matcher.set_seq1(choice)
        closeness[choice] = matcher.ratio()
    # What begins with it is nearer than what is spelt alike; the first of equals.
    near = max(known, key=lambda it: (it.startswith(name), closeness[it]), default="")
    hint = f"did you mean {near!r}? " if closeness.get(near, 0) >= CLOSE else ""
    return f"{hint}known: {', '.join(known)}"
