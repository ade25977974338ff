from __future__ import annotations

import ast
import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mobilenet_tf.system import terminal

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "a\x1b]0;title\x07\x9b31m\u202eb\u2028c\rd\udcffe\u200f"
BARS = "\x1b[2K"  # a bar is erased before it is drawn again

Capture = pytest.CaptureFixture[str]

PROGRAM = """
import logging, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # not inherited as ignored
from mobilenet_tf.system import terminal
log = logging.getLogger("mobilenet_tf.test")
with terminal.set_up(quiet={quiet}, as_json={as_json}):
    with terminal.bar("outer", 3) as advance:
        for number in range(3):
            for _ in terminal.track(range(2), "inner"):
                time.sleep(0.06)
            log.info("message %d " + "x" * 100, number)
            print("printed", number)
            advance(note="note \\x1b[31m")
    {then}
terminal.echo("done")
"""


def start(
    then: str = "pass",
    *,
    stdout_to: Path | None = None,
    quiet: bool = False,
    as_json: bool = False,
    **environment: str,
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the program with a real terminal as standard error, and output unless to a file."""
    ours, theirs = pty.openpty()
    code = PROGRAM.format(quiet=quiet, as_json=as_json, then=then)
    out = theirs if stdout_to is None else os.open(stdout_to, os.O_WRONLY | os.O_CREAT)
    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=theirs,
        cwd=ROOT,
        env={**plain, "TERM": "xterm-256color", **environment},
        start_new_session=True,
    )
    os.close(theirs)
    return process, ours


def read_all(ours: int) -> str:
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    return b"".join(parts).decode()


def run(then: str = "pass", **options: object) -> tuple[int, str]:
    process, ours = start(then, **options)  # type: ignore[arg-type]
    said = read_all(ours)
    return process.wait(30), said


def settle(said: str) -> list[str]:
    """Return the lines that stay on a terminal: cursor up, erase line and carriage return done."""
    lines, row = [""], 0
    for piece in re.findall(r"\x1b\[\d*[A-Za-z]|\x1b\[[\d;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", said):
        if piece == "\n":
            row += 1
            lines += [""] * (row - len(lines) + 1)
        elif re.fullmatch(r"\x1b\[\d*A", piece):
            row -= int(piece[2:-1] or 1)
        elif piece == "\x1b[2K":
            lines[row] = ""
        elif not piece.startswith("\x1b") and piece != "\r":
            lines[row] += piece
    return [line for line in lines if line]


MESSAGES = [f"message {number} {'x' * 100}" for number in range(3)]
EXPECTED = [line for n, message in enumerate(MESSAGES) for line in (message, f"printed {n}")]


def test_bars_come_and_go_and_every_line_stays_whole() -> None:
    code, said = run()
    assert code == 0
    assert "outer" in said
    assert "inner" in said
    assert settle(said) == [*EXPECTED, "done"]
    assert said.count("\x1b[?25l") >= 1
    assert said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l")
    assert "\x1b[31m" not in said.replace("\\x1b[31m", "")


def test_a_file_gets_messages_alone_while_bars_go_to_the_terminal(tmp_path: Path) -> None:
    code, said = run(stdout_to=tmp_path / "out")
    assert code == 0
    assert (tmp_path / "out").read_text().splitlines() == [*EXPECTED, "done"]
    assert "outer" in said
    assert settle(said) == []


def test_json_leaves_standard_output_to_the_result(tmp_path: Path) -> None:
    code, said = run("terminal.echo_json({'a': 1})", stdout_to=tmp_path / "out", as_json=True)
    assert code == 0
    text = (tmp_path / "out").read_text()
    assert "message" not in text
    assert [line for line in settle(said) if line.startswith("message")] == MESSAGES


@pytest.mark.parametrize("options", [{"quiet": True}, {"TERM": "dumb"}])
def test_no_bar_where_none_is_wanted_or_possible(options: dict[str, str]) -> None:
    code, said = run(**options)
    assert code == 0
    assert "\x1b" not in said.replace("\\x1b", "")
    assert "outer" not in said
    assert settle(said) == [*EXPECTED, "done"]


def test_no_color_is_obeyed() -> None:
    _, said = run("terminal.echo('red', style='red')", NO_COLOR="1")
    assert re.findall(r"\x1b\[[\d;]*m", said.replace("\\x1b", "")) == []


def test_an_exception_and_a_held_back_stderr_leave_the_terminal_as_it_was() -> None:
    held = (
        "terminal.echo('red', style='red')\n"
        "    from mobilenet_tf.system.quiet import quiet_stderr\n"
        "    with terminal.bar('held', None), quiet_stderr():\n"
        "        import os; os.write(2, b'noise\\n'); time.sleep(0.3)\n"
        "    raise SystemExit(7)"
    )
    code, said = run(held)
    assert code == 7
    assert "noise" not in said
    assert "held" in said
    assert settle(said) == [*EXPECTED, "red"]
    assert "\x1b[31mred" in said
    assert said.endswith("\x1b[?25h")


def test_an_interrupt_shows_the_cursor_again() -> None:
    process, ours = start("time.sleep(60)")
    time.sleep(0.1)
    said = b""
    while b"printed 2" not in said:
        said += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    said += read_all(ours).encode()
    assert process.wait(30) != 0
    assert said.rindex(b"\x1b[?25h") > said.rindex(b"\x1b[?25l")
    assert b"KeyboardInterrupt" in said


def test_nothing_from_outside_steers_the_terminal() -> None:
    shown = terminal.escape(HOSTILE)
    assert shown.isprintable()
    assert shown == r"a\x1b]0;title\x07\x9b31m\u202eb\u2028c\rd\udcffe\u200f"
    assert terminal.escape("Größe 猫 🐈 é") == "Größe 猫 🐈 é"


def test_text_keeps_its_own_lines(capsys: Capture) -> None:
    terminal.echo_block(f"one\n{HOSTILE}")
    terminal.echo("wrong", err=True)
    said = capsys.readouterr()
    assert said.out == f"one\n{terminal.escape(HOSTILE)}\n"
    assert said.err == "wrong\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_stream_of_any_encoding_takes_any_text(encoding: str) -> None:
    value = {"name": f"猫{HOSTILE}\U000e0001\x7f"}
    code = (
        "from mobilenet_tf.system import terminal; import sys, json; value = json.loads("
        f"{json.dumps(json.dumps(value))}); terminal.echo(value['name']); terminal.echo_json(value)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=True,
    )
    text, _, answer = done.stdout.decode(encoding).partition("\n")
    assert text.isprintable()
    assert answer.replace("\n", "").isprintable()
    assert json.loads(answer) == value


def test_messages_go_where_the_command_line_wants_them(capsys: Capture) -> None:
    log = logging.getLogger("mobilenet_tf.anything")
    with terminal.set_up(as_json=True):
        log.info("told %s", "beside")
        log.warning("careful")
    with terminal.set_up():
        log.info("told")
    log.info("not told")
    said = capsys.readouterr()
    assert said.out == "told\n"
    assert said.err == "told beside\nwarning: careful\n"


def test_without_a_display_items_and_bars_work_alike() -> None:
    assert list(terminal.track(iter("abc"), "letters")) == ["a", "b", "c"]
    with terminal.bar("any", None) as advance:
        advance(2, note="x")


@pytest.mark.parametrize(
    "name",
    ["audit", "datasets", "doctor", "models", "predict", "quant_debug"],
)
def test_verbs_print_by_the_terminal_alone(name: str) -> None:
    tree = ast.parse((ROOT / "mobilenet_tf" / "cli" / f"{name}.py").read_text("utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not called & {"print", "click.echo", "click.secho", "sys.stdout.write"}
