"""Trained networks -> their answers for a recipe's schedule, which students learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mobilenet_tf.data.batches import steps_per_epoch
from mobilenet_tf.data.catalog import recipe_dataset
from mobilenet_tf.data.splits import Split
from mobilenet_tf.data.training import load_training_data
from mobilenet_tf.errors import UsageError
from mobilenet_tf.files import hash_file
from mobilenet_tf.models.weights import load_weights
from mobilenet_tf.pipeline.checks import check_recipe
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.answers import AnswersNote, Schedule, make_schedule
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.names import recipe_variant, weights_name
from mobilenet_tf.system.hardware import usable_cores
from mobilenet_tf.tflite.convert import convert
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.training.fine_tuning import draw_calibration
from mobilenet_tf.training.teaching import write_answers
from mobilenet_tf.zoo.shelf import check_file, load_card, model_names


@dataclass(frozen=True)
class Trained:
    """A float network that teaches: its recipe, its weights and the images it was trained on."""

    recipe: Recipe
    weights: Path
    seen_data: str

    def quantize(self, train: Split) -> Classifier:
        """Return the int8 network, its ranges those of `train` as its own recipe draws them."""
        model, count = build_float_model(self.recipe), self.recipe.export.calibration_count
        load_weights(model, self.weights)
        content = convert(
            model,
            quantization="int8_ptq",
            classes=recipe_dataset(self.recipe).classes,
            description="a teacher",
            logits=True,
            calibration_images=draw_calibration(model, train, count, self.recipe.seed).images,
        )
        return Classifier.load(content, name=str(self.weights), threads=usable_cores())


def teach(teachers: Sequence[str], recipe: Recipe, folder: Path, data_dir: Path | None) -> Schedule:
    """Write the mean answers of `teachers` for the schedule of a recipe; return the schedule.

    Raises:
        UsageError: the recipe contradicts itself; a teacher is no finished run or model of the
            zoo, or has other classes.
        MtfError: a teacher is damaged, or the disk has too little room.
    """
    info = recipe_dataset(recipe)
    check_recipe(recipe, recipe_variant(recipe), info)  # what every student would refuse
    classes = info.classes
    trained = [find_trained(teacher) for teacher in teachers]
    for teacher, found in zip(teachers, trained, strict=True):
        theirs = recipe_dataset(found.recipe).classes
        if theirs != classes:
            raise UsageError(
                f"teacher {teacher} knows {len(theirs)} classes ({', '.join(theirs[:3])}, ...),"
                f" and {recipe.data.name} has {len(classes)} ({', '.join(classes[:3])}, ...); give"
                " a teacher of the same classes"
            )
        its, ours = found.recipe.model.resolution_px, recipe.model.resolution_px
        if its != ours:
            raise UsageError(
                f"teacher {teacher} takes images of {its} px, and the schedule has {ours}; give"
                f" --set model.resolution_px={its}, or another teacher"
            )
    data = load_training_data(recipe, data_dir)
    steps_per_epoch(len(data.train.labels), recipe.train.batch_size)  # a folder's are counted now
    schedule = make_schedule(recipe, classes, data.fingerprints["train"], len(data.train.labels))
    note = AnswersNote(
        schedule=schedule,
        teachers=tuple(hash_file(found.weights) for found in trained),
        seen_data=tuple(found.seen_data for found in trained),
    )

    def quantize_all() -> list[Classifier]:
        return [found.quantize(data.train) for found in trained]

    write_answers(quantize_all, data.train, note, folder)
    return schedule


def find_trained(teacher: str) -> Trained:
    """Return the network of a finished run, or of a model of the zoo, by its folder or name."""
    run = RunFolder(Path(teacher))
    if run.has_recipe():
        if not run.is_finished("train"):
            raise UsageError(
                f"teacher {teacher} has not finished its training; finish it first:"
                f" mtf train --out {teacher} --resume"
            )
        recipe, result = run.load_recipe(), run.load_stage("train")
        file = run.stage("train") / weights_name(recipe, "float32")
        return Trained(recipe, file, result.data["train"])
    if teacher not in model_names():
        state = "is not the folder of a run" if run.path.exists() else "does not exist"
        raise UsageError(
            f"teacher {teacher} {state}; give the folder of a finished mtf train, or a name of"
            " mtf zoo"
        )
    card = load_card(teacher)
    seen = card.stages.train.data["train"] if card.stages.train else ""
    return Trained(card.recipe, check_file(card, card.weights), seen)
