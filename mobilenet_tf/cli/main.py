"""`mtf`: the group of all verbs, and how errors end it."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys

import click

from mobilenet_tf import __version__
from mobilenet_tf.cli.options import Group
from mobilenet_tf.errors import MtfError, nearest
from mobilenet_tf.system import terminal
from mobilenet_tf.system.interrupt import exit_code_of, ignore_interrupts, remember_interrupts
from mobilenet_tf.system.scratch import scratch_folder

VERBS = (  # in the order of the work
    "run",
    "sweep",
    "train",
    "teach",
    "qat",
    "export-tflite",
    "convert",
    "audit",
    "benchmark",
    "quant-debug",
    "report",
    "compare",
    "evaluate",
    "predict",
    "app",
    "try",
    "models",
    "zoo",
    "data",
    "datasets",
    "doctor",
)
INTERRUPTED_EXIT_CODES = (130, 143)  # Ctrl-C, SIGTERM


class Verbs(Group):
    """Loads the module of a verb when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the work."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a verb."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"mobilenet_tf.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command


@click.command(
    cls=Verbs,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
    epilog="Start with `mtf run`: the whole pipeline on embedded images, in a few minutes. Tab"
    " completion of commands, options, models, recipes and runs:"
    ' eval "$(_MTF_COMPLETE=bash_source mtf)", or zsh_source, fish_source.',
)
@click.version_option(__version__, prog_name="mtf")
def mtf() -> None:
    """Labelled images in, a verified int8 .tflite out, and the proof that it is good."""


def main() -> None:
    """Run `mtf`; a user's mistake ends in one sentence and exit code 2, a failure in 1."""
    remember_interrupts()
    try:
        with scratch_folder():
            exit_code = run_command(sys.argv[1:])
            ignore_interrupts()  # in the try: Ctrl-C may have come while an exception was freed
    except KeyboardInterrupt as again:  # while the first was being reported
        ignore_interrupts()  # already here: what dies with the exception may take seconds
        exit_code = exit_code_of(again)
    if exit_code in INTERRUPTED_EXIT_CODES:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)  # a download's thread would keep the process alive until it ends
    sys.exit(exit_code)


def run_command(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        mtf.main(arguments, prog_name="mtf", standalone_mode=False)
    except MtfError as error:
        terminal.echo(f"error: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        show(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        terminal.echo("interrupted", err=True)
        return exit_code_of(error.__cause__ or error)  # click's Abort hides which signal it was
    except BrokenPipeError:  # the reader of a pipe has gone, as in `mtf models | head`
        sys.stderr.close()
        return 1
    except OSError as error:
        if error.errno is None:  # not the operating system's: a defect, shown as one
            raise
        where = f"{error.filename}: " if error.filename else ""
        way_out = "choose another file or folder, or free some space"
        terminal.echo(f"error: {where}{error.strerror}; {way_out}", err=True)
        drop_output()
        return 1
    return 0


def drop_output() -> None:
    """Give up what standard output does not take, or Python tries again at exit and fails."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            sys.stdout.close()


def show(error: click.ClickException) -> None:
    """Print usage and what is wrong with it, with the nearest option for an unknown one."""
    message = error.format_message().replace("\n\t", " ")  # where click lists choices
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context and message == context.get_help():  # click's answer to a group without a command
        terminal.echo_block(message, err=True)
        return
    if isinstance(error, click.NoSuchOption) and context:
        known = [name for p in context.command.params for name in (*p.opts, *p.secondary_opts)]
        near = nearest(error.option_name, [name for name in known if name.startswith("--")])
        hint = f"did you mean {near!r}?" if near else "see --help"
        message = f"no option {error.option_name!r}; {hint}"
    if context:
        help_command = f"{context.command_path} --help"
        terminal.echo_block(f"{context.get_usage()}\nTry {help_command!r} for help.\n", err=True)
    terminal.echo(f"error: {message}", err=True)
