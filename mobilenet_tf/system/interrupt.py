"""Ctrl-C and SIGTERM that are never lost.

Python drops a KeyboardInterrupt that is raised in a destructor or a C callback. The signal is
therefore remembered, and long loops check for it.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and what a scheduler sends


class Terminated(KeyboardInterrupt):
    """SIGTERM, handled as Ctrl-C is."""


_pending: list[type[KeyboardInterrupt]] = []


def remember_interrupts() -> None:
    """Remember every Ctrl-C and SIGTERM from now on; they still interrupt at once."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, _interrupt)


def ignore_interrupts() -> None:
    """Ignore further signals while an interrupted command ends."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def raise_if_interrupted() -> None:
    """Raise the KeyboardInterrupt of a signal that has not been raised here yet."""
    if _pending:
        kind = _pending[-1]
        _pending.clear()
        raise kind


def exit_code_of(interrupt: BaseException) -> int:
    """Return the exit code that tells a shell which signal ended a command."""
    return 128 + (signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    kind = Terminated if signum == signal.SIGTERM else KeyboardInterrupt
    _pending.append(kind)
    raise kind
