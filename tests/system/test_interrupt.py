from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from mobilenet_tf.cli import main as cli
from mobilenet_tf.system.interrupt import (
    SIGNALS,
    Terminated,
    exit_code_of,
    ignore_interrupts,
    raise_if_interrupted,
    remember_interrupts,
)


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    remember_interrupts()
    yield
    for number, what in before.items():
        signal.signal(number, what)


def test_sigterm_is_an_interrupt_with_a_code_of_its_own() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        signal.raise_signal(signal.SIGTERM)
    assert exit_code_of(caught.value) == 143
    assert exit_code_of(KeyboardInterrupt()) == 130
    with pytest.raises(Terminated):
        raise_if_interrupted()
    raise_if_interrupted()


class Dropping:
    """Swallows what is raised in it, as Python does in a destructor."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_is_raised_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):  # whoever swallowed it: the loop ends
        raise_if_interrupted()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_drops_is_raised_by_the_loop() -> None:
    Dropping()
    with pytest.raises(KeyboardInterrupt):
        raise_if_interrupted()
    raise_if_interrupted()  # once is enough


def test_nothing_is_raised_without_an_interrupt() -> None:
    raise_if_interrupted()


def test_pressed_again_while_the_first_is_reported_it_still_ends_with_130(monkeypatch) -> None:
    def report(arguments: list[str]) -> int:
        signal.raise_signal(signal.SIGINT)
        return 0

    def leave(code: int) -> None:
        signal.raise_signal(signal.SIGINT)  # and once more, on the way out
        raise SystemExit(code)

    monkeypatch.setattr(cli, "run_command", report)
    monkeypatch.setattr(cli.os, "_exit", leave)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    with pytest.raises(KeyboardInterrupt):  # the first one is remembered still
        raise_if_interrupted()


def test_pressed_again_after_the_first_was_reported_it_still_ends_with_130(monkeypatch) -> None:
    waiting = iter([signal.SIGINT])  # came while the frames of the first one's exception were freed

    def ignore() -> None:
        for press in waiting:
            signal.raise_signal(press)
        ignore_interrupts()

    def leave(code: int) -> None:
        signal.raise_signal(signal.SIGINT)
        raise SystemExit(code)

    monkeypatch.setattr(cli, "run_command", lambda arguments: 130)
    monkeypatch.setattr(cli, "ignore_interrupts", ignore)
    monkeypatch.setattr(cli.os, "_exit", leave)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    with pytest.raises(KeyboardInterrupt):
        raise_if_interrupted()
