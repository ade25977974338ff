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
    from mobilenet_tf.sweep.candidates import Budget, Candidate
    from mobilenet_tf.sweep.grid import Grid, Trial
    from mobilenet_tf.sweep.session import Session
    from mobilenet_tf.sweep.workers import Workers

AXES = {"model": "model.name", "alpha": "model.alpha", "resolution": "model.resolution_px"}
PAGE = "pareto.html"
ASK_TRIALS, ASK_S = 50, 24 * 3600.0  # above which the work is confirmed first


@dataclass(frozen=True)
class Place:
    """Where trials run, and whether without a question."""

    out: Path | None
    on: str | None
    workers: int | None
    yes: bool

    def find_workers(self, out: Path) -> Workers:
        """Return processes of this machine, or tasks of a cluster."""
        from mobilenet_tf.sweep.workers import LOGS, LocalWorkers

        if self.on is None:
            return LocalWorkers(self.workers, out / LOGS)
        from mobilenet_tf.sweep.cluster import RayWorkers

        return RayWorkers(self.on, self.workers, out / LOGS)


@dataclass(frozen=True)
class BudgetTexts:
    """What a network may cost, as it was typed."""

    max_kilobytes: float | None
    max_latency_ms: float | None
    within: str | None
    latency_from: str

    def parse(self) -> Budget:
        """Return the budget; UsageError for what is no duration."""
        from mobilenet_tf.sweep.candidates import Budget, parse_duration

        return Budget(
            self.max_kilobytes and 1e3 * self.max_kilobytes,
            self.max_latency_ms,
            parse_duration(self.within) if self.within is not None else None,
        )


class Sweep(click.Command):
    """Hands over the values of settings as `texts`, limits as `budget`, and where to work."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        given = ctx.params

        def take(kind: type[Any], *names: str) -> Any:
            return kind(**{name: given.pop(name) for name in names})

        texts = [
            f"{key}={given.pop(name)}" for name, key in AXES.items() if given[name] is not None
        ]
        given |= {
            "texts": texts + list(given.pop("values")),
            "budget": take(
                BudgetTexts, "max_kilobytes", "max_latency_ms", "within", "latency_from"
            ),
            "place": take(Place, "out", "on", "workers", "yes"),
            "work": take(options.WorkOptions, "data_dir", "as_json", "quiet"),
        }
        for name in AXES:
            given.pop(name, None)
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
    "--max-kilobytes",
    type=options.NumberRange(0, 1_000_000, min_open=True),
    metavar="KB",
    help="Budget: the int8 file, 1,000 bytes each.",
)
@click.option(
    "--max-latency-ms",
    type=options.NumberRange(0, 1_000_000, min_open=True),
    metavar="MS",
    help="Budget: one image, in int8.",
)
@click.option("--within", metavar="2h", help="Budget: from now to the winner's report.")
@click.option(
    "--latency-from",
    default="here",
    metavar="here|adb|FILE.csv",
    help="Where latency is measured, or a table with the columns network,latency_ms.",
)
@click.option(
    "--out",
    type=options.FolderPath(),
    help="Folder of the sweep, a run folder for each trial.  [default: artifacts/RECIPE_sweep]",
)
@click.option(
    "--on",
    metavar="ray[://HOST:PORT]",
    help="Run on Ray: a cluster's address, or ray for this machine.  [default: processes here]",
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
    *,
    recipe: str | None,
    texts: list[str],
    budget: BudgetTexts,
    place: Place,
    work: options.WorkOptions,
) -> None:
    """Run every combination of the values given, each as an ordinary run in a folder of its own.

    With a budget: of the networks that meet it (of all models and widths, where no values are
    given), many train for a few epochs, the best on validation images for more, and the winner
    goes all the way to its report.

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
      mtf sweep flowers/ --max-kilobytes 300 --max-latency-ms 5 --within 2h
    """
    from mobilenet_tf.sweep.grid import make_grid
    from mobilenet_tf.sweep.session import Session, open_recipe

    with terminal.set_up(quiet=work.quiet, as_json=work.as_json):
        limits = budget.parse()
        source = open_recipe(recipe or "quickstart", work.data_dir)
        out = place.out or Path("artifacts") / f"{source.name}_sweep"
        grid = make_grid(source.axes, texts)
        session = Session(source, out, work.data_dir, place.find_workers(out))
        again = shlex.join(["mtf", *sys.argv[1:]])
        with options.resumable(lambda: again):
            if limits:
                _run_budget(session, grid, limits, budget.latency_from, work.as_json)
            else:
                _run_grid(session, grid, place.yes, work.as_json)


def _run_grid(session: Session, grid: Grid, yes: bool, as_json: bool) -> None:
    """Run every trial of a grid."""
    if not grid.axes:
        raise UsageError(
            "nothing to try: give values, as --alpha 0.25,0.5, a [sweep] table in the recipe, or a"
            " budget, as --max-kilobytes 300"
        )
    trials, refused = session.list_trials(grid)
    for refusal in refused:
        terminal.echo(f"refused: {refusal.label}: {refusal.reason}", err=True)
    if not trials:
        raise UsageError(f"all {len(refused)} trials are refused; see above")
    waiting = [trial for trial in trials if not trial.is_finished()]
    _confirm(session, len(trials), waiting, yes)
    failed = [outcome for outcome in session.run(waiting) if outcome.reason]
    _conclude(session.out, as_json)
    if failed:
        raise MtfError(
            f"{len(failed)} of {len(trials)} trials failed, the first, {failed[0].job.name}:"
            f" {failed[0].reason}; their logs are in {session.out / 'logs'}, and the same command"
            " tries them again"
        )


def _confirm(session: Session, count: int, waiting: Sequence[Trial], yes: bool) -> None:
    """Say how much work there is, and ask where it is much."""
    from mobilenet_tf.report.units import plural
    from mobilenet_tf.system.duration import format_duration

    taken_s = session.estimate_s(waiting)
    done = f", {count - len(waiting):,} of them finished" if len(waiting) < count else ""
    left = f"; about {format_duration(taken_s)}, {session.workers.count} at a time"
    said = f"{plural(count, 'trial')}{done}{left if waiting else ''}"
    terminal.echo(said, err=True)
    if yes or (len(waiting) <= ASK_TRIALS and taken_s <= ASK_S):
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{said}; give --yes to begin")
    click.confirm("Begin?", abort=True, err=True)


def _run_budget(
    session: Session, grid: Grid, budget: Budget, latency_from: str, as_json: bool
) -> None:
    """Choose networks by their costs, let them compete, and finish the winner."""
    candidates = session.list_candidates(grid, budget, latency_from)
    contests = session.enter(candidates, budget)
    _echo_candidates(candidates, len(contests))
    final = session.compete(contests, budget)
    _conclude(session.out, as_json)
    if not as_json:
        options.echo_figures(final.plan)
        terminal.echo(f"Winner: {final.plan.run.path}")


def _echo_candidates(candidates: Sequence[Candidate], count: int) -> None:
    """Say which networks meet the budget, and that the first `count` compete."""
    from mobilenet_tf.report.tables import Column, format_table
    from mobilenet_tf.report.units import fixed

    columns = (Column("network", align="left"), *map(Column, ("M MACs", "params", "KB", "ms")))
    rows = [
        (c.name, fixed(c.macs, 1e-6, 1), f"{c.parameters:,}", fixed(c.size_bytes, 1e-3, 1),
         fixed(c.latency_ms, 1, 3))
        for c in candidates
    ]  # fmt: skip
    said = f"{len(candidates)} networks meet the budget; the first {count} compete"
    terminal.echo(f"{said}\n\n{format_table(columns, rows)}\n", err=True)


def _conclude(out: Path, as_json: bool) -> None:
    """Write the page of all finished runs in the folder, and print their table."""
    from mobilenet_tf.files import write_text
    from mobilenet_tf.report.comparison import comparison_table
    from mobilenet_tf.report.pareto import render_pareto
    from mobilenet_tf.report.tables import format_noted
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
        terminal.echo_block(f"\n{format_noted(table)}")
        terminal.echo(f"Page: {out / PAGE}")


command.help = (command.help or "").replace("RECIPES", ", ".join(recipe_names()))
