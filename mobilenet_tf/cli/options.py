"""Options that several verbs share, and how a verb works on a run."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mobilenet_tf.cli.completion import complete_run
from mobilenet_tf.errors import MtfError
from mobilenet_tf.system import terminal
from mobilenet_tf.system.interrupt import exit_code_of

if TYPE_CHECKING:  # `mtf --help` loads neither
    from mobilenet_tf.pipeline.plan import Plan
    from mobilenet_tf.recipe import Recipe
    from mobilenet_tf.runs.folder import RunFolder
    from mobilenet_tf.runs.results import StageResult

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
labels_option = click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="A text file that names the model's classes, one a line.  [default: the file's own]",
)
verbosity = click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
WORK_OPTIONS = {
    "data_dir": data_dir_option,
    "resume": click.option(
        "--resume", is_flag=True, help="Continue an unfinished run after its last finished epoch."
    ),
    "allow_changes": click.option(
        "--allow-changes",
        is_flag=True,
        help="Continue an unfinished training although settings differ; the result lists them.",
    ),
    "overwrite": click.option(
        "--overwrite",
        is_flag=True,
        help="Do again what is finished; the old result moves to previous/ in the run's folder.",
    ),
    "as_json": json_option,
    "quiet": verbosity,
}


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
        "--out",
        type=FolderPath(),
        help=f"Folder of the run.  [default: {default}]",
        shell_complete=complete_run,
    )


run_argument = click.argument("run", type=FolderPath(), shell_complete=complete_run)


@dataclass(frozen=True)
class WorkOptions:
    """How a verb works: where its data is, what it may redo, and how it speaks."""

    data_dir: Path | None = None
    resume: bool = False
    overwrite: bool = False
    allow_changes: bool = False
    as_json: bool = False
    quiet: bool = False


def work_options(*names: str) -> Callable[[F], F]:
    """Return a decorator that adds the named options; the command gets them as `work`."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(**values: Any) -> Any:
            work = WorkOptions(**{name: values.pop(name) for name in names})
            return function(**values, work=work)

        for name in reversed(names):
            command = WORK_OPTIONS[name](command)
        return command  # type: ignore[return-value]

    return decorate


@contextlib.contextmanager
def resumable(go_on_command: Callable[[], str]) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into a sentence that says how to go on."""
    try:
        yield
    except KeyboardInterrupt as error:
        interrupted = MtfError(
            f"interrupted; every finished stage and epoch is kept. Go on with: {go_on_command()}"
        )
        interrupted.exit_code = exit_code_of(error)
        raise interrupted from error


@contextlib.contextmanager
def working(
    run: RunFolder, recipe: Recipe, work: WorkOptions, go_on_command: Callable[[], str]
) -> Iterator[None]:
    """Hold the run's lock and show messages and progress, while the block works on the run."""
    with (
        resumable(go_on_command),
        terminal.set_up(quiet=work.quiet, as_json=work.as_json),
        run.lock(recipe),
    ):
        yield


def run_verb(
    stage: str, folder: Path, given: Mapping[str, Any], work: WorkOptions, following: str | None
) -> None:
    """Run one stage of an existing run, with the run's own settings where none are given."""
    from mobilenet_tf.recipe import replace_settings
    from mobilenet_tf.runs.folder import RunFolder

    run = RunFolder(folder)
    run_stage(stage, run, replace_settings(run.load_recipe(), given), work, following)


def run_stage(
    stage: str, run: RunFolder, recipe: Recipe, work: WorkOptions, following: str | None
) -> None:
    """Run one stage of a run, and print what came of it and the command that comes next."""
    from mobilenet_tf.pipeline.plan import Rerun, make_plan
    from mobilenet_tf.pipeline.runner import go_on_command, run_one

    plan = make_plan(run, recipe, data_dir=work.data_dir)
    with working(run, recipe, work, lambda: go_on_command(stage, plan)):
        result = run_one(stage, plan, Rerun(work.resume, work.overwrite, work.allow_changes))
    echo_stage(plan, result, work.as_json, following)


def echo_stage(plan: Plan, result: StageResult[Any], as_json: bool, following: str | None) -> None:
    """Print what a stage left, and the command that comes next."""
    import msgspec

    from mobilenet_tf.system.duration import format_duration

    if as_json:
        terminal.echo_json(msgspec.to_builtins(result))
        return
    if result.stage == "benchmark":
        echo_figures(plan)
    took = format_duration(result.wall_time_s)
    terminal.echo(f"{result.stage}: {plan.run.path / result.stage} ({took})")
    for name, record in result.files.items():
        if not name.startswith("tensorboard/"):
            terminal.echo(f"  {name}  {record.size_bytes:,} bytes")
    if following:
        terminal.echo(f"Next: {following}")


def echo_figures(plan: Plan) -> None:
    """Print the table and the verdict of a run."""
    from mobilenet_tf.pipeline.stages import describe_run
    from mobilenet_tf.report import format_stages

    terminal.echo(f"\n{format_stages(describe_run(plan.run, plan.recipe))}\n")
