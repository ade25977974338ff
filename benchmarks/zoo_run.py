"""A model of the zoo as a run again, so that it can be quantized, measured and shipped anew.

    python benchmarks/zoo_run.py cifar10_v1_100_r32 artifacts/cifar10_v1_100_r32
    mtf qat artifacts/cifar10_v1_100_r32
    mtf export-tflite artifacts/cifar10_v1_100_r32
    mtf benchmark artifacts/cifar10_v1_100_r32
    mtf zoo add artifacts/cifar10_v1_100_r32 --overwrite

Float training is not repeated: its result is the card's, its weights are the card's, rounded to
float16. QAT has today's defaults, with `--set qat.NAME=VALUE` where others are wanted. Another
`--set seed=N` draws QAT's images anew, to measure its spread and not to ship; a validation split,
which follows from the seed, allows none. Run it from the root of the repository, where the card's
relative paths lead somewhere.
"""

from __future__ import annotations

from pathlib import Path

import click
from msgspec.structs import replace

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.weights import load_weights, save_weights
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.pipeline.stages import find_stage
from mobilenet_tf.recipe import (
    QatSettings,
    list_differences,
    parse_overrides,
    replace_settings,
    settings_of,
)
from mobilenet_tf.runs.folder import WORKING_FILES, RunFolder, StageSettings
from mobilenet_tf.runs.history import save_history
from mobilenet_tf.runs.names import weights_name
from mobilenet_tf.runs.results import StageRecord, StageResult, record_files, save_result
from mobilenet_tf.zoo.shelf import check_file, load_card


@click.command()
@click.argument("name")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--set", "changes", multiple=True, metavar="SETTING=VALUE")
def main(*, name: str, out: Path, changes: tuple[str, ...]) -> None:
    """Make the run OUT, its float training finished, of the zoo's model NAME."""
    try:
        card = load_card(name)
    except UsageError as error:
        raise click.UsageError(str(error)) from error
    recipe = replace(card.recipe, qat=QatSettings(batch_size=card.recipe.qat.batch_size))
    recipe = replace_settings(recipe, parse_overrides(changes))
    sections = find_stage("train").sections
    made, settings = (settings_of(each, sections) for each in (card.recipe, recipe))
    differences = list_differences(made, settings)
    if not recipe.data.validation_count:  # else it is the seed of the split too
        differences = [each for each in differences if not each.startswith("seed: ")]
    if differences:
        raise click.UsageError(
            f"the float network of {name} was made with other settings ({'; '.join(differences)});"
            " give none of those that it depends on"
        )
    run = RunFolder(out)
    run.claim(recipe)
    record = card.stages.train
    run.begin("train", StageSettings(settings=settings, inputs=dict(record.inputs)))
    folder = run.partial("train")
    model = build_float_model(recipe)
    load_weights(model, check_file(card, card.weights))
    metadata = {"variant": card.variant, "dataset": card.dataset}
    save_weights(model, folder / weights_name(recipe, "float32"), metadata)
    save_history(folder, [])
    kept = {field: getattr(record, field) for field in StageRecord.__struct_fields__}
    files = record_files(folder, leave_out=WORKING_FILES)
    result = StageResult(**kept, stage="train", settings=settings, files=files)
    save_result(result, folder)
    run.commit("train")
    run.save_recipe(recipe)
    click.echo(out)


if __name__ == "__main__":
    main()
