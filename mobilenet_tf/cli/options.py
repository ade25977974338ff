"""Options that several verbs share, and how a verb works on a run."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
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
    from mobilenet_tf.pipeline.plan import Plan, Rerun
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
        "--out",
        type=FolderPath(),
        help=f"Folder of the run.  [default: {default}]",
        shell_complete=complete_run,
    )


run_argument = click.argument("run", type=FolderPath(), shell_complete=complete_run)
verbosity = click.option("--quiet", "-q", is_flag=True, help="No progress bar.")


@dataclass(frozen=True)
class WorkOptions:
    """How a verb works: where its data is, what it may redo, and how it speaks."""

    data_dir: Path | None = None
    resume: bool = False
    overwrite: bool = False
    allow_changes: bool = False
    as_json: bool = False
    quiet: bool = False

    @property
    def rerun(self) -> Rerun:
        """What may be done with what is already there."""
        from mobilenet_tf.pipeline.plan import Rerun

        return Rerun(self.resume, self.overwrite, self.allow_changes)


def work_options(*names: str) -> Callable[[F], F]:
    """Return a decorator that adds the named options; the command gets them as `work`."""
    known = {
        "data_dir": data_dir_option,
        "resume": resume_option,
        "allow_changes": allow_changes_option,
        "overwrite": overwrite_option,
        "as_json": json_option,
        "quiet": verbosity,
    }

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(**values: Any) -> Any:
            work = WorkOptions(**{name: values.pop(name) for name in names})
            return function(**values, work=work)

        for name in reversed(names):
            command = known[name](command)
        return command  # type: ignore[return-value]

    return decorate


class InterruptedRunError(MtfError):
    """Ctrl-C or SIGTERM: what was finished stands."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextlib.contextmanager
def resumable(go_on_command: Callable[[], str]) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into a sentence that says how to go on."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRunError(
            f"interrupted; every finished stage and epoch is kept. Go on with: {go_on_command()}",
            exit_code_of(error),
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
    from mobilenet_tf.pipeline.plan import make_plan
    from mobilenet_tf.pipeline.runner import go_on_command, run_one

    plan = make_plan(run, recipe, data_dir=work.data_dir)
    with (
        resumable(lambda: go_on_command(stage, plan)),
        terminal.set_up(quiet=work.quiet, as_json=work.as_json),
        run.lock(recipe),
    ):
        result = run_one(stage, plan, work.rerun)
    echo_stage(plan, result, work.as_json, following)


def echo_stage(plan: Plan, result: StageResult[Any], as_json: bool, following: str | None) -> None:
    """Print what a stage left, and the command that comes next."""
    import msgspec

    from mobilenet_tf.system.duration import format_duration

    if as_json:
        echo_json(msgspec.to_builtins(result))
        return
    took = format_duration(result.wall_time_s)
    lines = [f"{result.stage}: {plan.run.path / result.stage} ({took})"]
    lines += [
        f"  {name}  {record.size_bytes:,} bytes"
        for name, record in result.files.items()
        if not name.startswith("tensorboard/")
    ]
    if result.stage == "benchmark":
        lines = [*_list_figures(plan), "", *lines]
    if following:
        lines.append(f"Next: {following}")
    terminal.echo("\n".join(lines))


def _list_figures(plan: Plan) -> list[str]:
    """Return the table and the verdict of a run."""
    from mobilenet_tf.pipeline.stages import describe_run
    from mobilenet_tf.report import format_stages

    return ["", *format_stages(describe_run(plan.run, plan.recipe)).split("\n")]


def echo_run(plan: Plan, as_json: bool) -> None:
    """Print what a finished run ends with: the table, where things are, what comes next."""
    import msgspec

    from mobilenet_tf.pipeline.stages import describe_run
    from mobilenet_tf.recipe import QUANTIZATIONS

    record = describe_run(plan.run, plan.recipe)
    if as_json:
        echo_json(msgspec.to_builtins(record))
        return
    assert record.stages.export is not None  # noqa: S101  # a finished run has all stages
    files = {file.quantization: file.file for file in record.stages.export.metrics.files}
    for_app = next(files[name] for name in reversed(QUANTIZATIONS) if name in files)
    file = plan.run.stage("export") / for_app
    first_try = plan.dataset.recipe == "quickstart"
    lines = [
        *_list_figures(plan),
        "",
        f"File for the app: {file}",
        f"Report:           {plan.run.stage('report') / 'report.html'}",
        f"Next:             {'mtf run cifar10' if first_try else f'mtf predict {file} IMAGE'}",
    ]
    terminal.echo("\n".join(lines))
