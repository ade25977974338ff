"""`mtf benchmark`: the final figures, on the test split."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenet_tf.cli import options


@click.command(short_help="Measure every model of RUN on test images.")
@options.run_argument
@click.option("--threads", type=int, help="Threads of the interpreter.")
@click.option("--latency-runs", type=int, help="Timed runs of one image, after warm-up.")
@click.option(
    "--test-time-augmentation",
    "views",
    multiple=True,
    metavar="flip|rotate",
    help="Also report the mean over views: mirrored; turned by 90, 180 and 270 degrees. Can be"
    " repeated.",
)
@options.data_dir_option
@options.overwrite_option
@options.json_option
@options.verbosity
def command(
    *,
    run: Path,
    threads: int | None,
    latency_runs: int | None,
    views: tuple[str, ...],
    data_dir: Path | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure accuracy, size, latency and memory of every model of RUN, on test images.

    RUN is the folder of a finished mtf export-tflite. Models are timed in turns: trust the
    ratios between rows more than a single figure.

    Test-time augmentation looks at each image several times; its accuracy stands beside the
    plain one, and its cost is that many times the latency.

    \b
    Example:
      mtf benchmark artifacts/cifar10_v1_050_r32 --threads 2
      mtf benchmark artifacts/cifar10_v1_050_r32 --test-time-augmentation flip --overwrite
    """
    options.run_verb(
        "benchmark",
        run,
        options.make_overrides(
            "benchmark",
            {
                "threads": threads,
                "latency_runs": latency_runs,
                "test_time_augmentation": views or None,
            },
        ),
        data_dir=data_dir,
        resume=False,
        overwrite=overwrite,
        as_json=as_json,
        quiet=quiet,
        following=f"mtf report {run}",
    )
