"""What goes wrong for a user: a sentence that names the thing, its value and how to fix it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence

CLOSE = 0.6  # share of letters in common that makes a suggestion worth giving


class MtfError(Exception):
    """A failure while working; the command ends with exit code 1."""

    exit_code = 1


class BusyError(MtfError):
    """Another process is at work on it; later it can be done."""


class UsageError(MtfError):
    """A request that cannot be carried out as written; exit code 2."""

    exit_code = 2


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice that is closest to `name` where one is close; the first of equals.

    Case, `_` and `-` do not count; what begins with `name` is closer than what is spelt alike; the
    initials of the words stand for them (`lr` for `learning-rate`).
    """
    asked = _letters(name)
    if not asked:
        return None
    matcher = difflib.SequenceMatcher(b=asked)
    best, closest = None, (False, CLOSE)
    for choice in choices:
        letters = _letters(choice)
        matcher.set_seq1(letters)
        initials = "".join(word[0] for word in re.findall(r"[A-Za-z0-9]+", choice))
        stands_for = initials.lower() == asked
        closeness = (
            stands_for or letters.startswith(asked),
            1.0 if stands_for else matcher.ratio(),
        )
        if closeness > closest:
            best, closest = choice, closeness
    return best


def suggest(name: str, choices: Iterable[str]) -> str:
    """Return the sentence that lists `choices` and, where one is close to `name`, points at it."""
    known = list(choices)
    near = nearest(name, known)
    hint = f"did you mean {near!r}? " if near else ""
    return f"{hint}known: {', '.join(sorted(known))}"


def check_known(what: str, name: str, choices: Collection[str]) -> None:
    """Raise UsageError unless `name` is one of `choices`; `what` says what it names."""
    if name not in choices:
        raise UsageError(f"unknown {what} {name!r}; {suggest(name, choices)}")


def name_some(names: Sequence[str], most: int) -> str:
    """Return the first `most` names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def first_line(error: Exception) -> str:
    """Return what a library says of a failure, its first line alone."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()
