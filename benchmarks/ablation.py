"""What is each part of the recipe worth? Validation accuracy with one part changed at a time.

    python benchmarks/ablation.py --out ablation
    python benchmarks/ablation.py --part full_size --part cutout --seed 1 --seed 2
    python benchmarks/ablation.py --part teacher --teacher artifacts/cifar10_v1_100_r32

Float training of the recipe and of the recipe with one part changed, for every seed. Test images
are not read. Every training is a run in OUT/PART_SEED: a finished one is kept, a killed
measurement goes on from its last epoch. Prints a Markdown table; OUT/ablation.json has all of it.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import click

from mobilenet_tf.errors import MtfError
from mobilenet_tf.files import write_text
from mobilenet_tf.pipeline.plan import Rerun, make_plan
from mobilenet_tf.pipeline.runner import run_one
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.system import terminal
from mobilenet_tf.system.duration import format_duration
from mobilenet_tf.system.hardware import describe_machine

BASE = "base"
PARTS = {  # name -> what it changes in the recipe
    "full_size": ("train.progressive_px=[]",),
    "progressive_24": ("train.progressive_px=[24]",),
    "cosine": ("train.schedule=cosine",),
    "half_rate": ("train.learning_rate=0.1",),
    "double_rate": ("train.learning_rate=0.4",),
    "half_decay": ("train.weight_decay=0.0025",),
    "double_decay": ("train.weight_decay=0.01",),
    "decay_everything": ("train.decay_everything=true",),
    "no_label_smoothing": ("train.label_smoothing=0",),
    "no_crop": ("augmentation.crop_padding_px=0",),
    "no_flip": ("augmentation.flip=false",),
    "flip_by_chance": ("augmentation.flip=true",),
    "cutout": ("augmentation.cutout_px=8",),
    "cutout_ending": ("augmentation.cutout_px=8", "augmentation.strong_share=0.8"),
    "mixup": ("augmentation.mixup_alpha=0.2",),
    "mixup_ending": ("augmentation.mixup_alpha=0.2", "augmentation.strong_share=0.8"),
    "cutmix": ("augmentation.cutmix_alpha=1",),
    "cutmix_ending": ("augmentation.cutmix_alpha=1", "augmentation.strong_share=0.8"),
    "slow_batch_norm": ("model.batch_norm_momentum=0.99",),
    "ghost_batches": ("train.ghost_batches=2",),
    "recalibration": ("train.recalibrate_batch_norm_count=5000",),
    "averaging": ("train.ema_decay=0.998",),
    "averaging_recalibration": (
        "train.ema_decay=0.998",
        "train.recalibrate_batch_norm_count=5000",
    ),
    "teacher": (),  # --teacher says which
}


@click.command()
@click.option(
    "--part",
    "parts",
    type=click.Choice(list(PARTS)),
    multiple=True,
    help="[default: all; teacher only with --teacher]",
)
@click.option("--recipe", default="cifar10", show_default=True)
@click.option("--alpha", type=float, default=0.25, show_default=True)
@click.option("--epochs", type=int, default=10, show_default=True)
@click.option("--seed", "seeds", type=int, multiple=True, default=(1,), show_default=True)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Of the base.")
@click.option("--teacher", help="Folder of a finished, larger run.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("artifacts/ablation"))
@click.option("--data-dir", type=click.Path(path_type=Path))
def main(
    *,
    parts: tuple[str, ...],
    recipe: str,
    alpha: float,
    epochs: int,
    seeds: tuple[int, ...],
    overrides: tuple[str, ...],
    teacher: str | None,
    out: Path,
    data_dir: Path | None,
) -> None:
    """Train the base, then every part, for every seed."""
    if "teacher" in parts and not teacher:
        raise click.UsageError("--part teacher needs --teacher RUN")
    chosen = parts or tuple(name for name in PARTS if teacher or name != "teacher")
    table = PARTS | {BASE: (), "teacher": (f"train.teacher={json.dumps(teacher)}",)}
    base = (f"model.alpha={alpha}", f"train.epochs={epochs}", *overrides)
    report: dict[str, Any] = {
        "recipe": recipe,
        "overrides": base,
        "machine": describe_machine(),
        "rows": [],
    }
    for part in (BASE, *chosen):
        for seed in seeds:
            settings = (*base, *table[part], f"seed={seed}")
            try:
                row = train(recipe, settings, out / f"{part}_{seed}", data_dir)
            except MtfError as error:
                raise click.ClickException(f"{part}, seed {seed}: {error}") from error
            report["rows"].append({"part": part, "seed": seed, "changes": list(table[part]), **row})
            write_text(out / "ablation.json", json.dumps(report, indent=2))
            click.echo(f"{part}, seed {seed}: {row['validation_top1']:.2%}", err=True)
    click.echo(format_table(report["rows"]))


def train(
    recipe: str, settings: tuple[str, ...], folder: Path, data_dir: Path | None
) -> dict[str, Any]:
    """Return what came of one training, from `folder` where it is finished already."""
    asked = load_recipe(recipe, settings)
    plan = make_plan(RunFolder(folder), asked, data_dir=data_dir)
    with terminal.set_up(as_json=True), plan.run.lock(asked):
        result = run_one("train", plan, Rerun(resume=True))
    names = ("validation_top1", "best_epoch", "fit_time_s")
    return {name: getattr(result.metrics, name) for name in names} | {"commit": result.commit}


def format_table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a line a part, its seeds beside each other, and the mean gain."""
    lines = [
        "| part | change | seeds | validation | to the base, points | time |",
        "|---|---|---|---:|---:|---:|",
    ]
    base = {row["seed"]: row["validation_top1"] for row in rows if row["part"] == BASE}
    for part in dict.fromkeys(row["part"] for row in rows):
        mine = [row for row in rows if row["part"] == part]
        gains = [100 * (row["validation_top1"] - base[row["seed"]]) for row in mine]
        gain = ", ".join(f"{gain:+.2f}" for gain in gains)
        if len(gains) > 1:
            gain = f"{statistics.mean(gains):+.2f} ({gain})"
        cells = (
            f"`{part}`",
            ", ".join(f"`{change}`" for change in mine[0]["changes"]) or "none",
            ", ".join(str(row["seed"]) for row in mine),
            ", ".join(f"{100 * row['validation_top1']:.2f}" for row in mine) + " %",
            "" if part == BASE else gain,
            format_duration(statistics.mean(row["fit_time_s"] for row in mine)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    commits = sorted({row["commit"] or "no commit" for row in rows})
    return "\n".join([*lines, "", f"Commits: {', '.join(commits)}."])


if __name__ == "__main__":
    main()
