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

if TYPE_CHECKING:  # `mtf --help` loads neither
    from mobilenet_tf.recipe import Recipe
    from mobilenet_tf.runs.folder import RunFolder

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
    from mobilenet_tf.pipeline.stages import check_recipe
    from mobilenet_tf.runs.folder import RunFolder

    run = RunFolder(folder)
    settings = run.load_recipe(tuple(overrides))
    check_recipe(settings)
    run_stage(
        stage,
        run,
        settings,
        data_dir=data_dir,
        resume=resume,
        allow_changes=allow_changes,
        overwrite=overwrite,
        as_json=as_json,
        quiet=quiet,
        following=following,
    )


def run_stage(
    stage: str,
    run: RunFolder,
    settings: Recipe,
    *,
    data_dir: Path | None,
    resume: bool,
    allow_changes: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    following: str | None,
) -> None:
    """Run one stage with settings that were checked, and print what came of it."""
    from mobilenet_tf.pipeline.runner import go_on_command, run_one

    interrupted = partial(go_on_command, stage, run, settings, data_dir)
    with resumable(interrupted), run.lock(settings):
        result = run_one(
            stage,
            run,
            settings,
            data_dir=data_dir,
            resume=resume,
            allow_changes=allow_changes,
            overwrite=overwrite,
            echo=make_echo(as_json),
            progress=shows_progress(quiet),
        )
    echo_stage(run.path, result, as_json, following)


def echo_stage(folder: Path, result: Any, as_json: bool, following: str | None) -> None:
    """Print what a stage left, and the command that comes next."""
    import msgspec

    from mobilenet_tf.pipeline.stages import summarise_stage

    if as_json:
        echo_json(msgspec.to_builtins(result))
        return
    click.echo(summarise_stage(folder, result))
    if following:
        click.echo(f"Next: {following}")
