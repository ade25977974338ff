"""Ctrl-C and SIGTERM that are never lost.

Python drops a KeyboardInterrupt that falls into a destructor or a callback from C. The signal is
therefore remembered too, and long loops ask for it.
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
    """Remember every Ctrl-C and SIGTERM from now on; they still interrupt at once if possible."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, _interrupt)


def ignore_interrupts() -> None:
    """Let no further signal disturb the end of an interrupted command."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def raise_if_interrupted() -> None:
    """Raise the KeyboardInterrupt of a signal since the last one that got through here."""
    if _pending:
        kind = _pending[-1]
        _pending.clear()
        raise kind


def exit_code_of(interrupt: BaseException) -> int:
    """Return the exit code that tells a shell which signal ended a command."""
    number = signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT
    return 128 + number


def _interrupt(signum: int, frame: FrameType | None) -> None:
    kind = Terminated if signum == signal.SIGTERM else KeyboardInterrupt
    _pending.append(kind)
    raise kind
