"""`mtf export-tflite`: the files for the app."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mobilenet_tf.cli import options
from mobilenet_tf.cli.settings import setting_options


@click.command(cls=options.Verb, short_help="Write the .tflite files of RUN, and check them.")
@options.run_argument
@setting_options("export", fallback="the run's own")
@options.work_options("data_dir", "overwrite", "as_json", "quiet")
def command(*, run: Path, given: dict[str, Any], work: options.WorkOptions) -> None:
    """Write the .tflite files of RUN, each audited and compared with its Keras model.

    RUN is the folder of a finished mtf train; int8_qat (short: qat) needs mtf qat too. int8_ptq
    (short: ptq) is quantized after training. Beside each int8 file stands its twin with uint8
    input and output, for MediaPipe, LiteRT.js and Swift; mtf convert makes other types.

    \b
    Example:
      mtf export-tflite artifacts/cifar10_v1_050_r32
      mtf export-tflite artifacts/digits --quantization int8_qat --license CC-BY-4.0
    """
    options.run_verb("export", run, given, work, following=f"mtf benchmark {run}")
