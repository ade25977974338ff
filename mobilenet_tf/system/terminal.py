"""What reaches the terminal: one place that prints, escapes, logs and draws progress.

Everything outside the command line reports by `logging`; `set_up` decides where that goes. Text
from outside (names of files, classes, machines) is printed by `escape`, so that it can neither
steer the terminal nor forge a line. Progress goes to standard error, and only where somebody looks.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
ROOT = "mobilenet_tf"
_CONTROL = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")  # categories that a terminal acts on

_progress: Progress | None = None  # the live display, while the command line shows one


def escape(text: str) -> str:
    r"""Return `text` on one line, its control and direction characters as `\x1b` or `\u202e`."""
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _CONTROL
        else character
        for character in text
    )


def echo(text: str, *, err: bool = False) -> None:
    """Print `text`, escaped, to standard output or error; its own line breaks are kept."""
    stream = sys.stderr if err else sys.stdout
    encoding = stream.encoding or "utf-8"
    for line in text.split("\n"):
        shown = escape(line).encode(encoding, "backslashreplace").decode(encoding)
        print(shown, file=stream, flush=True)


class _Handler(logging.Handler):
    """Prints the project's messages as they are: to standard output, or beside JSON."""

    def __init__(self, to_stderr: bool) -> None:
        super().__init__()
        self.to_stderr = to_stderr

    def emit(self, record: logging.LogRecord) -> None:
        echo(record.getMessage(), err=self.to_stderr or record.levelno >= logging.WARNING)


@contextlib.contextmanager
def set_up(*, quiet: bool = False, as_json: bool = False) -> Iterator[None]:
    """Show the project's messages and, where standard error is a terminal, progress."""
    global _progress  # noqa: PLW0603  # one terminal, one display
    logger = logging.getLogger(ROOT)
    handler = _Handler(to_stderr=as_json)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        if quiet or not sys.stderr.isatty():
            yield
            return
        with _display() as _progress:
            yield
    finally:
        _progress = None
        logger.removeHandler(handler)
        logger.setLevel(level)


def _display() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )


@contextlib.contextmanager
def bar(label: str, total: int | None) -> Iterator[Callable[..., None]]:
    """Show a bar while the block runs; `total` None is a wait of unknown length.

    Yields advance(count=1, note=""), which moves it and puts a note behind it. Without a display
    nothing is shown.
    """
    if _progress is None:
        yield lambda count=1, note="": None
        return
    display = _progress
    task = display.add_task(escape(label), total=total, note="")

    def advance(count: int = 1, note: str = "") -> None:
        display.update(task, advance=count, note=escape(note))

    try:
        yield advance
    finally:
        display.remove_task(task)


def track(items: Iterable[T], label: str) -> Iterator[T]:
    """Yield `items` and show a bar of how many have been worked through."""
    with bar(label, len(items) if isinstance(items, Sized) else None) as advance:
        for item in items:
            yield item
            advance()
