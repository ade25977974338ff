"""`mtf export-tflite`: the files for the app."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenet_tf.cli import options

SHORT_NAMES = {"ptq": "int8_ptq", "qat": "int8_qat"}


@click.command(short_help="Write the .tflite files of RUN, and check them.")
@options.run_argument
@click.option(
    "--quantization",
    "quantizations",
    multiple=True,
    help="float32, float16, dynamic_range, int8_ptq (after training; short: ptq) or int8_qat"
    " (short: qat); may be given several times.  [default: all that the run can give]",
)
@click.option(
    "--io-type",
    help="int8 (default) or uint8 (what MediaPipe Tasks and LiteRT.js take):"
    " input and output of the int8 files.",
)
@click.option(
    "--logits/--probabilities", default=None, help="Leave the softmax out, or end in it (default)."
)
@click.option("--calibration-count", type=int, help="Training images that int8_ptq calibrates on.")
@options.data_dir_option
@options.overwrite_option
@options.json_option
@options.verbosity
def command(
    *,
    run: Path,
    quantizations: tuple[str, ...],
    io_type: str | None,
    logits: bool | None,
    calibration_count: int | None,
    data_dir: Path | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the .tflite files of RUN, each audited and compared with its Keras model.

    RUN is the folder of a finished mtf train; int8_qat needs mtf qat too.

    \b
    Example:
      mtf export-tflite artifacts/cifar10_v1_050_r32
      mtf export-tflite artifacts/digits --quantization int8_qat --io-type uint8
    """
    values = {
        "quantizations": tuple(SHORT_NAMES.get(name, name) for name in quantizations) or None,
        "io_type": io_type,
        "logits": logits,
        "calibration_count": calibration_count,
    }
    options.run_verb(
        "export",
        run,
        options.make_overrides("export", values),
        data_dir=data_dir,
        resume=False,
        overwrite=overwrite,
        as_json=as_json,
        quiet=quiet,
        following=f"mtf benchmark {run}",
    )
