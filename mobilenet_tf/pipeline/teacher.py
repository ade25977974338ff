"""The finished run that float training learns from: found, checked, identified."""

from __future__ import annotations

from pathlib import Path

from mobilenet_tf.errors import UsageError
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.names import weights_name
from mobilenet_tf.runs.results import StageResult


def find_teacher(recipe: Recipe) -> RunFolder | None:
    """Return the run that a recipe names as its teacher, which may not be there; None for none."""
    return RunFolder(Path(recipe.train.teacher)) if recipe.train.teacher else None


def check_teacher(teacher: RunFolder, recipe: Recipe) -> StageResult:
    """Return the result of the teacher's float training, its files checked.

    Raises:
        UsageError: no run, not finished, of another dataset or of another resolution.
        MtfError: it is damaged.
    """
    named = f"train.teacher {teacher.path}"
    if not teacher.has_recipe():
        state = "is not the folder of a run" if teacher.path.exists() else "does not exist"
        raise UsageError(f"{named} {state}; give the folder of a finished run of mtf train")
    if not teacher.is_finished("train"):
        raise UsageError(
            f"{named} has not finished its training; finish it first:"
            f" mtf train --out {teacher.path} --resume"
        )
    theirs = teacher.load_recipe()
    if theirs.data.name != recipe.data.name:
        raise UsageError(
            f"{named} knows the classes of {theirs.data.name}, and this run is on"
            f" {recipe.data.name}; give a run on {recipe.data.name}"
        )
    if theirs.model.resolution_px != recipe.model.resolution_px:
        raise UsageError(
            f"{named} takes images of {theirs.model.resolution_px} px, and this run has"
            f" model.resolution_px {recipe.model.resolution_px}; give a run of the same"
        )
    return teacher.load_stage("train")


def teacher_digest(teacher: RunFolder) -> str:
    """Return what identifies a finished teacher: the SHA-256 of its weights."""
    result = teacher.load_stage("train", verify=False)
    return result.files[weights_name(teacher.load_recipe(), "float32")].sha256
