"""What reaches the terminal: one place that prints, escapes, logs and draws progress.

Everything outside the command line reports by `logging`; `set_up` decides where that goes. Text
from outside (names of files, classes, machines) can neither steer the terminal nor forge a line.
Progress goes to standard error, and only where somebody looks.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import msgspec

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

T = TypeVar("T")
ROOT = "mobilenet_tf"
SHOW_CURSOR = "\x1b[?25h"
_CONTROL = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")  # categories that a terminal acts on

_progress: Progress | None = None  # the live display, while the command line shows one


def escape(text: str) -> str:
    r"""Return `text` on one line, its control and direction characters as `\x1b` or `\u202e`."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii") if _is_control(character) else character
        for character in text
    )


def echo(line: str, *, err: bool = False, style: str = "") -> None:
    """Print one line to standard output or error; what is in it stays in it, a line break too."""
    echo_block(escape(line), err=err, style=style)


def echo_block(text: str, *, err: bool = False, style: str = "") -> None:
    """Print lines, each escaped: tables and pages, whose cells have been made to stay in theirs.

    `style` is rich's, as "red"; it shows on a terminal that has colours and may use them.
    """
    stream = sys.stderr if err else sys.stdout
    # The proxy that a display puts in a stream's place has no encoding of its own.
    encoding = getattr(stream, "encoding", None) or "utf-8"
    console = _console(stream, style)
    if console is not None:
        from rich.text import Text
    for line in text.split("\n"):
        shown = escape(line).encode(encoding, "backslashreplace").decode(encoding)
        if console is None:
            print(shown, file=stream, flush=True)
        else:
            console.print(Text(shown, style), soft_wrap=True)


def echo_json(value: Any) -> None:
    """Print `value`, records and paths too, as JSON: exact, and free of what a terminal acts on."""
    value = msgspec.to_builtins(value, enc_hook=str)
    text = json.dumps(value, indent=2, ensure_ascii=False)
    for character in {c for c in text if c != "\n" and _is_control(c)}:
        units = character.encode("utf-16-be", "surrogatepass").hex()
        text = text.replace(character, rf"\u{units[:4]}" + (rf"\u{units[4:]}" if units[4:] else ""))
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(text, flush=True)


@contextlib.contextmanager
def csv_writer() -> Iterator[Callable[[Iterable[str]], None]]:
    """Yield what prints a row of CSV to standard output; exact, but escaped on a terminal."""
    import csv

    seen = sys.stdout.isatty()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    encoding = sys.stdout.encoding or "utf-8"

    def write(row: Iterable[str]) -> None:
        cells = map(escape, row) if seen else row
        writer.writerow(c.encode(encoding, "backslashreplace").decode(encoding) for c in cells)

    yield write
    sys.stdout.flush()


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in _CONTROL


def _console(stream: TextIO, style: str) -> Console | None:
    """Return what prints above the bars, or in colour; None where plain text will do."""
    if not stream.isatty():
        return None
    if _progress is not None:
        return _progress.console
    if not style:
        return None
    from rich.console import Console

    return Console(file=stream)


class _Handler(logging.Handler):
    """Prints the project's messages as they are: to standard output, or beside JSON."""

    def __init__(self, to_stderr: bool) -> None:
        super().__init__()
        self.to_stderr = to_stderr

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            echo(f"{record.levelname.lower()}: {record.getMessage()}", err=True)
        else:
            echo(record.getMessage(), err=self.to_stderr)


@contextlib.contextmanager
def set_up(*, quiet: bool = False, as_json: bool = False) -> Iterator[None]:
    """Show the project's messages and, where standard error is a terminal, progress."""
    logger = logging.getLogger(ROOT)
    handler = _Handler(to_stderr=as_json)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # a library's root handler would print everything again
    try:
        with contextlib.nullcontext() if quiet or not sys.stderr.isatty() else _display():
            yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
        logger.setLevel(level)


@contextlib.contextmanager
def _display() -> Iterator[None]:
    """Keep a live display on the terminal, until the block ends in whatever way."""
    global _progress  # noqa: PLW0603  # one terminal, one display
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    # A descriptor of its own: what holds back a library's messages to stderr leaves the bars.
    with os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding=sys.stderr.encoding) as terminal:
        console = Console(file=terminal)
        if console.is_dumb_terminal:
            yield
            return
        progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        try:
            with progress:
                _progress = progress
                yield
        finally:
            _progress = None
            terminal.write(SHOW_CURSOR)  # a second Ctrl-C may have cut the display's own end short


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
