"""Options that several verbs share, and how a verb works on a run."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mobilenet_tf.cli.completion import complete_run, complete_zoo
from mobilenet_tf.cli.settings import take_settings
from mobilenet_tf.errors import MtfError, suggest
from mobilenet_tf.system import terminal
from mobilenet_tf.system.interrupt import exit_code_of

if TYPE_CHECKING:  # `mtf --help` loads neither
    from mobilenet_tf.pipeline.plan import Plan
    from mobilenet_tf.recipe import Recipe
    from mobilenet_tf.runs.folder import RunFolder

F = TypeVar("F", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)
FORMS = {"--json": "as_json", "--csv": "as_csv", "--markdown": "markdown"}  # of one answer


def check_form(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    """Refuse a second form of the answer."""
    others = [o for o, name in FORMS.items() if ctx.params.get(name) and name != param.name]
    if value and others:
        raise click.UsageError(f"{others[0]} and {param.opts[0]} are two forms; give one", ctx)
    return value


data_dir_option = click.option(
    "--data-dir",
    type=PATH,
    help="Folder of prepared datasets; it must hold the one asked for."
    "  [default: TFDS_DATA_DIR, else ~/tensorflow_datasets, downloading what is missing]",
)
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=check_form,
    help="Print the result as JSON; messages go to stderr.",
)
markdown_option = click.option(
    "--markdown", is_flag=True, callback=check_form, help="Print it as Markdown."
)
labels_option = click.option(
    "--labels",
    type=PATH,
    help="A text file that names the model's classes, one a line.  [default: the file's own]",
)
csv_option = click.option(
    "--csv", "as_csv", is_flag=True, callback=check_form, help="Print CSV, a line for each image."
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


class Group(click.Group):
    """Answers an unknown command with the nearest, and with `by_name` for the name of a thing."""

    def __init__(self, *args: Any, by_name: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.by_name = by_name

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuse an unknown command."""
        word, known = args[0], self.list_commands(ctx)
        if word not in known and not ctx.resilient_parsing:
            hint = f"; for {word} itself, type: {self.by_name} {word}" if self.by_name else ""
            raise click.UsageError(f"no command {word!r}; {suggest(word, known)}{hint}", ctx)
        return super().resolve_command(ctx, args)


class Verb(click.Command):
    """Hands over the settings that were given as `given`, and how to work as `work`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        work = {name: ctx.params.pop(name) for name in WORK_OPTIONS if name in ctx.params}
        ctx.params |= {"given": take_settings(ctx.params), "work": WorkOptions(**work)}
        return super().invoke(ctx)


class NumberRange(click.FloatRange):
    """Numbers between two; NaN, which is neither below nor above, is none of them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or refuse it."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


class FolderPath(click.Path):
    """A folder that may not exist yet; an empty name is a mistake, not the current folder."""

    def __init__(self, *, dir_okay: bool = True) -> None:
        super().__init__(path_type=Path, dir_okay=dir_okay)
        self.wanted = "folder" if dir_okay else "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or refuse a name that no folder can have."""
        if value == "":
            self.fail(f"it is empty; give a {self.wanted}", param, ctx)
        try:
            Path(value).exists()
        except (OSError, ValueError) as error:
            self.fail(f"{value!r} cannot be a {self.wanted}: {error}", param, ctx)
        return super().convert(value, param, ctx)


class FilePath(FolderPath):
    """A file to write; an empty name is a mistake here, too."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False)


class SourcePath(click.Path):
    """A file or folder here, or the name of one in an object store, left as it is written."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a path, or an address such as s3://BUCKET/FOLDER as text."""
        from mobilenet_tf.data.bucket import is_remote

        if isinstance(value, str) and is_remote(value):
            return value
        return super().convert(value, param, ctx)


def out_option(default: str) -> Callable[[F], F]:
    """Return the option that names the folder of a run."""
    return click.option(
        "--out",
        type=FolderPath(),
        help=f"Folder of the run.  [default: {default}]",
        shell_complete=complete_run,
    )


model_argument = click.argument("model", type=PATH, shell_complete=complete_zoo)
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
    """Return a decorator that adds the named options to a `Verb`."""

    def decorate(function: F) -> F:
        for name in reversed(names):
            function = WORK_OPTIONS[name](function)
        return function

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
    from mobilenet_tf.pipeline.together import SHARED_STAGES, joined
    from mobilenet_tf.system.cluster import find_place
    from mobilenet_tf.system.duration import format_duration

    with joined(run) if stage in SHARED_STAGES else contextlib.nullcontext(run) as here:
        with terminal.set_up(quiet=work.quiet, as_json=work.as_json):  # it may download weights
            plan = make_plan(here, recipe, data_dir=work.data_dir)
        with working(here, recipe, work, lambda: go_on_command(stage, plan)):
            result = run_one(stage, plan, Rerun(work.resume, work.overwrite, work.allow_changes))
    if find_place().index:
        return
    if work.as_json:
        terminal.echo_json(result)
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
    from mobilenet_tf.report.page import format_stages

    terminal.echo_block(f"\n{format_stages(describe_run(plan.run, plan.recipe))}\n")
