"""Options that several verbs share, and how a verb works on a run."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mobilenet_tf.errors import MtfError
from mobilenet_tf.system import terminal

if TYPE_CHECKING:  # `mtf --help` loads neither
    from mobilenet_tf.pipeline.plan import Plan, Rerun

F = TypeVar("F", bound=Callable[..., Any])

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Folder of prepared datasets; it must hold the one asked for."
    "  [default: TFDS_DATA_DIR, else ~/tensorflow_datasets, downloading what is missing]",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON; messages go to stderr."
)
overwrite_option = click.option(
    "--overwrite",
    is_flag=True,
    help="Do again what is finished; the old result moves to previous/ in the run's folder.",
)
resume_option = click.option(
    "--resume", is_flag=True, help="Continue an unfinished run after its last finished epoch."
)
allow_changes_option = click.option(
    "--allow-changes",
    is_flag=True,
    help="Continue an unfinished training although settings differ; the result lists them.",
)


class FolderPath(click.Path):
    """A folder that may not exist yet; an empty name is a mistake, not the current folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or refuse a name that no folder can have."""
        if value == "":
            self.fail("it is empty; give a folder", param, ctx)
        try:
            Path(value).exists()
        except (OSError, ValueError) as error:
            self.fail(f"{value!r} cannot be a folder: {error}", param, ctx)
        return super().convert(value, param, ctx)


def out_option(default: str) -> Callable[[F], F]:
    """Return the option that names the folder of a run."""
    return click.option(
        "--out", type=FolderPath(), help=f"Folder of the run.  [default: {default}]"
    )


run_argument = click.argument("run", type=FolderPath())
verbosity = click.option("--quiet", "-q", is_flag=True, help="No progress bar.")


class InterruptedRunError(MtfError):
    """Ctrl-C: what was finished stands."""

    exit_code = 130


@contextlib.contextmanager
def resumable(go_on_command: Callable[[], str]) -> Iterator[None]:
    """Turn Ctrl-C into a sentence that says how to go on."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRunError(
            f"interrupted; every finished stage and epoch is kept. Go on with: {go_on_command()}"
        ) from error


def make_echo(as_json: bool) -> Callable[[str], None]:
    """Return how a verb speaks: to standard output, or beside its JSON."""
    return lambda message: click.echo(message, err=as_json)


def shows_progress(quiet: bool) -> bool:
    """Tell whether a progress bar makes sense: somebody looks, and did not say no."""
    return not quiet and sys.stderr.isatty()


def echo_json(value: Any) -> None:
    """Print a result for machines."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def make_overrides(section: str, values: dict[str, Any]) -> list[str]:
    """Return the given options (not None) as `section.key=value` overrides of a recipe."""
    prefix = f"{section}." if section else ""
    return [
        f"{prefix}{key}={toml_value(value)}" for key, value in values.items() if value is not None
    ]


def toml_value(value: Any) -> str:
    """Write an option's value as TOML."""
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, (bool, str)):
        return json.dumps(value)
    return str(value)


def run_verb(
    stage: str,
    folder: Path,
    overrides: list[str],
    *,
    data_dir: Path | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    following: str | None,
    allow_changes: bool = False,
) -> None:
    """Run one stage of an existing run, with the run's own settings where none are given."""
    from mobilenet_tf.pipeline.plan import Rerun, make_plan
    from mobilenet_tf.runs.folder import RunFolder

    run = RunFolder(folder)
    plan = make_plan(run, run.load_recipe(tuple(overrides)), data_dir=data_dir)
    rerun = Rerun(resume, overwrite, allow_changes)
    run_stage(stage, plan, rerun, as_json=as_json, quiet=quiet, following=following)


def run_stage(
    stage: str, plan: Plan, rerun: Rerun, *, as_json: bool, quiet: bool, following: str | None
) -> None:
    """Run one stage of a plan, and print what came of it."""
    from mobilenet_tf.pipeline.runner import go_on_command, run_one

    with (
        resumable(partial(go_on_command, stage, plan)),
        terminal.set_up(quiet=quiet, as_json=as_json),
        plan.run.lock(plan.recipe),
    ):
        result = run_one(stage, plan, rerun)
    echo_stage(plan.run.path, result, as_json, following)


def echo_stage(folder: Path, result: Any, as_json: bool, following: str | None) -> None:
    """Print what a stage left, and the command that comes next."""
    import msgspec

    from mobilenet_tf.system.duration import format_duration

    if as_json:
        echo_json(msgspec.to_builtins(result))
        return
    click.echo(f"{result.stage}: {folder / result.stage} ({format_duration(result.wall_time_s)})")
    for name, record in result.files.items():
        if not name.startswith("tensorboard/"):
            click.echo(f"  {name}  {record.size_bytes:,} bytes")
    if following:
        click.echo(f"Next: {following}")
