"""Ctrl-C that is never lost.

Python drops a KeyboardInterrupt that falls into a destructor or a callback from C. The signal is
therefore remembered too, and long loops ask for it.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

_pressed = threading.Event()


def remember_interrupts() -> None:
    """Remember every Ctrl-C from now on; it still interrupts at once where Python can."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)


def ignore_interrupts() -> None:
    """Let no further Ctrl-C disturb the end of an interrupted command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def raise_if_interrupted() -> None:
    """Raise the KeyboardInterrupt of a Ctrl-C since the last one that got through here."""
    if _pressed.is_set():
        _pressed.clear()
        raise KeyboardInterrupt


def _interrupt(signum: int, frame: FrameType | None) -> None:
    _pressed.set()
    raise KeyboardInterrupt
