"""`mtf sweep`: many runs, and which network for a budget."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobilenet_tf.cli import options
from mobilenet_tf.cli.completion import complete_recipe
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.recipe import recipe_names
from mobilenet_tf.system import terminal

if TYPE_CHECKING:
    from mobilenet_tf.sweep.grid import Grid, MakeRecipe, Trial

AXES = {"model": "model.name", "alpha": "model.alpha", "resolution": "model.resolution_px"}
PAGE = "pareto.html"
ASK_TRIALS, ASK_S = 50, 24 * 3600.0  # above which the work is confirmed first


@dataclass(frozen=True)
class Place:
    """Where trials run, and whether without a question."""

    out: Path | None
    workers: int | None
    yes: bool


class Sweep(click.Command):
    """Hands over the values of settings as `texts`, where to run as `place`, how as `work`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        given = ctx.params
        texts = [
            f"{key}={given[name]}"
            for name in AXES
            if given[name] is not None
            for key in (AXES[name],)
        ]
        texts += given.pop("values")
        place = Place(*(given.pop(name) for name in ("out", "workers", "yes")))
        work = {name: given.pop(name) for name in ("data_dir", "as_json", "quiet")}
        ctx.params = {"recipe": given["recipe"], "texts": texts, "place": place}
        ctx.params["work"] = options.WorkOptions(**work)
        return super().invoke(ctx)


def _axis(name: str, what: str) -> Any:
    return click.option(f"--{name}", metavar="A,B,…", help=f"{what} to try, by commas.")


@click.command(cls=Sweep, short_help="Find the network for a budget.")
@click.argument("recipe", required=False, shell_complete=complete_recipe)
@_axis("model", "Models")
@_axis("alpha", "Width multipliers")
@_axis("resolution", "Input resolutions in pixels")
@click.option(
    "--set",
    "values",
    multiple=True,
    metavar="SECTION.KEY=A,B,…",
    help="Any setting of the recipe and the values to try; can be repeated.",
)
@click.option(
    "--out",
    type=options.FolderPath(),
    help="Folder of the sweep, a run folder for each trial.  [default: artifacts/RECIPE_sweep]",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    help="Trials at a time, each with its share of cores and memory.  [default: one a core]",
)
@click.option("--yes", is_flag=True, help="Do not ask, however many trials there are.")
@options.data_dir_option
@options.json_option
@options.verbosity
def command(
    *, recipe: str | None, texts: list[str], place: Place, work: options.WorkOptions
) -> None:
    """Run every combination of the values given, each as an ordinary run in a folder of its own.

    RECIPE is a .toml file, the name of one that ships (RECIPES), or images as for mtf run. Its
    [sweep] table may hold values too: "model.alpha" = [0.25, 0.5].

    Run the same command again after an interruption: a finished trial is never trained twice.
    A trial that fails ends no other. The page pareto.html in the sweep's folder sets accuracy
    against size, multiply-accumulates, latency and training time.

    \b
    Example:
      mtf sweep --alpha 0.25,0.5
      mtf sweep cifar10 --model mobilenet_v1,mobilenet_v2 --alpha 0.25,0.5,0.75
      mtf sweep flowers/ --alpha 0.5,1 --set train.learning_rate=0.05,0.1
    """
    from mobilenet_tf.recipe import load_axes
    from mobilenet_tf.sweep.grid import make_grid

    named = recipe or "quickstart"
    out = place.out
    with terminal.set_up(quiet=work.quiet, as_json=work.as_json):
        make_recipe, name, own = _open(named, work.data_dir)
        out = place.out or Path("artifacts") / f"{name}_sweep"
        grid = make_grid({} if own else load_axes(named), texts)
        again = shlex.join(sys.argv[1:])
        with options.resumable(lambda: f"mtf {again}"):
            _run_grid(grid, make_recipe, out, place, work)


def _open(named: str, data_dir: Path | None) -> tuple[MakeRecipe, str, bool]:
    """Return how a trial's recipe is made, the name of the source, and whether it is images."""
    from mobilenet_tf.data.photographs import is_source, name_source, open_source
    from mobilenet_tf.pipeline.own_images import start_recipe
    from mobilenet_tf.recipe import load_recipe, replace_settings
    from mobilenet_tf.runs.folder import RunFolder

    if is_source(named):
        source = open_source(named, data_dir)
        nowhere = RunFolder(source / ".mtf-sweep")  # no run whose weights could be kept
        return lambda given: start_recipe(source, given, nowhere), name_source(source), True
    base = load_recipe(named)
    return lambda given: replace_settings(base, given), Path(named).stem, False


def _run_grid(
    grid: Grid, make_recipe: MakeRecipe, out: Path, place: Place, work: options.WorkOptions
) -> None:
    from mobilenet_tf.sweep.grid import make_trials
    from mobilenet_tf.sweep.schedule import make_job, run_jobs
    from mobilenet_tf.sweep.workers import LOGS, LocalWorkers

    if not grid.axes:
        raise UsageError(
            "nothing to try: give values, as --alpha 0.25,0.5, or a [sweep] table in the recipe"
        )
    trials, refused = make_trials(grid, make_recipe, out, work.data_dir)
    for refusal in refused:
        terminal.echo(f"refused: {refusal.label}: {refusal.reason}", err=True)
    if not trials:
        raise UsageError(f"all {len(refused)} trials are refused; see above")
    waiting = [trial for trial in trials if not trial.is_finished()]
    workers = LocalWorkers(place.workers, out / LOGS)
    _confirm(len(trials), waiting, out, workers.count, place.yes)
    outcomes = run_jobs([make_job(trial) for trial in waiting], workers, out)
    _conclude(out, work.as_json)
    failed = [outcome for outcome in outcomes if outcome.reason]
    if failed:
        raise MtfError(
            f"{len(failed)} of {len(trials)} trials failed, the first, {failed[0].job.name}:"
            f" {failed[0].reason}; their logs are in {out / LOGS}, and the same command tries"
            " them again"
        )


def _confirm(count: int, waiting: Sequence[Trial], out: Path, workers: int, yes: bool) -> None:
    """Say how much work there is, and ask where it is much."""
    from mobilenet_tf.sweep.estimate import estimate_core_s, measure_rate
    from mobilenet_tf.system.duration import format_duration
    from mobilenet_tf.system.hardware import usable_cores

    core_s = sum(estimate_core_s((trial.plan for trial in waiting), measure_rate(out)))
    taken_s = core_s / usable_cores()
    done = f", {count - len(waiting):,} of them finished" if len(waiting) < count else ""
    left = f"; about {format_duration(taken_s)}, {workers} at a time" if waiting else ""
    said = f"{count:,} trials{done}{left}"
    terminal.echo(said, err=True)
    if yes or (len(waiting) <= ASK_TRIALS and taken_s <= ASK_S):
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{said}; give --yes to begin")
    click.confirm("Begin?", abort=True, err=True)


def _conclude(out: Path, as_json: bool) -> None:
    """Write the page of all finished runs in the folder, and print their table."""
    from mobilenet_tf.files import write_text
    from mobilenet_tf.report.comparison import comparison_table
    from mobilenet_tf.report.pareto import render_pareto
    from mobilenet_tf.report.tables import format_table
    from mobilenet_tf.sweep.schedule import describe_runs

    rows = describe_runs(out)
    if rows:
        write_text(
            out / PAGE, render_pareto(f"{out.resolve().name}: {len(rows)} runs", rows, out / PAGE)
        )
    if as_json:
        terminal.echo_json(rows)
    elif rows:
        table = comparison_table(rows)
        terminal.echo(f"\n{format_table(table.columns, table.rows)}\n\n{table.note}")
        terminal.echo(f"Page: {out / PAGE}")


command.help = (command.help or "").replace("RECIPES", ", ".join(recipe_names()))
