"""What training comes from: one's own images, a run that teaches, weights that were trained before.

Each is found, checked and identified by a SHA-256, without TensorFlow.
"""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from mobilenet_tf.data.catalog import recipe_dataset
from mobilenet_tf.data.folder import index_images
from mobilenet_tf.data.index import TRAIN, ImageIndex
from mobilenet_tf.data.partition import check_counts
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.files import hash_file
from mobilenet_tf.models.keras_file import SUFFIXES, plain_name, read_keras_file
from mobilenet_tf.models.kernels import find_network, has_kernels
from mobilenet_tf.models.published import describe
from mobilenet_tf.models.variant import Variant, asks_for
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.answers import ANSWERS_FILE, Answers, has_answers, make_schedule
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.names import weights_name
from mobilenet_tf.zoo import shelf

# Among the inputs of a train stage, where it has them: SHA-256 of the weights or the index of each.
TEACHER, WEIGHTS, IMAGES = "teacher", "weights", "images"
SETTINGS = {TEACHER: "train.teacher", WEIGHTS: "train.weights", IMAGES: "data.path"}
SHAPING = ("name", "alpha", "head_units", "block_count")  # of weights, among a model's settings
CHANGING = ("squeeze_excitation", "head_units", "block_count")  # kernels, among the options


@dataclass(frozen=True)
class Origin:
    """A teacher's run or answers, a file of weights or a folder of images; `error`: what is wrong.

    What was trained from it stays valid without it: the error is raised where training begins.
    """

    path: Path
    sha256: str | None  # None where it is gone
    error: MtfError | None = None

    @property
    def source(self) -> str:
        """Where the weights come from: the address of published ones, else the path."""
        return describe(self.path)


def find_origins(run: RunFolder, recipe: Recipe, variant: Variant) -> dict[str, Origin]:
    """Return all that float training comes from, by its name among the inputs of a train stage."""
    found = {
        IMAGES: find_images(recipe),
        TEACHER: find_teacher(run, recipe),
        WEIGHTS: find_weights(run, recipe, variant),
    }
    return {name: origin for name, origin in found.items() if origin is not None}


def find_images(recipe: Recipe) -> Origin | None:
    """Return the folder or the CSV file that `data.path` names; None if it names none."""
    if not recipe.data.path:
        return None
    source = Path(recipe.data.path)
    try:
        index = index_images(source)
        check_counts(index, recipe.data.holdout_share)
        _check_batches(index, recipe)
        return Origin(source, index.fingerprint())
    except MtfError as error:
        return Origin(source, None, error)


def check_unchanged(began: Origin) -> None:
    """Refuse (MtfError) images that are no longer those that a run began with.

    Their split would be another one, with images for measuring that were trained on.
    """
    if index_images(began.path).fingerprint() != began.sha256:
        raise MtfError(
            f"the images in {began.path} have changed since this run began; leave them alone while"
            " it works, and run the same command again: it trains on what is there then"
        )


def _check_batches(index: ImageIndex, recipe: Recipe) -> None:
    """Refuse batches that more images than there are would be needed for."""
    count = len(index.rows(TRAIN))
    for section, fit in (("train", recipe.train), ("qat", recipe.qat)):
        if fit.epochs and fit.batch_size > count:
            raise UsageError(
                f"{section}.batch_size {fit.batch_size} is larger than the {count:,} images of"
                f" {index.origin} for training and for what is held out of them; give fewer"
            )


def find_teacher(run: RunFolder, recipe: Recipe) -> Origin | None:
    """Return the run that `train.teacher` names; None if it names none."""
    if not recipe.train.teacher:
        return None
    if has_answers(Path(recipe.train.teacher)):
        return find_answers(recipe)
    teacher = RunFolder(Path(recipe.train.teacher))
    sha256 = None
    try:
        if teacher.is_finished("train"):
            result = teacher.load_stage("train", verify=False)
            weights = result.files.get(weights_name(teacher.load_recipe(), "float32"))
            sha256 = weights.sha256 if weights else None
        check_teacher(teacher, run, recipe)
        return Origin(teacher.path, sha256)
    except MtfError as error:
        return Origin(teacher.path, sha256, error)


def find_answers(recipe: Recipe) -> Origin:
    """Return the stored answers that `train.teacher` names; what is in it is checked on reading."""
    folder = Path(recipe.train.teacher)
    try:
        held = Answers(folder)
        # the fingerprint and the number of images are checked where they are loaded
        told, classes = held.note.schedule, recipe_dataset(recipe).classes
        held.check(make_schedule(recipe, classes, told.data, told.image_count))
        return Origin(folder, hash_file(folder / ANSWERS_FILE))
    except MtfError as error:
        return Origin(folder, None, error)


def check_teacher(teacher: RunFolder, run: RunFolder, recipe: Recipe) -> None:
    """Refuse a teacher whose predictions mean nothing to this run, or that is damaged."""
    named = f"train.teacher {teacher.path}"
    if teacher.path.resolve() == run.path.resolve():
        raise UsageError(f"{named} is the run itself; give another --out, or another run")
    if not teacher.has_recipe():
        state = "is not the folder of a run" if teacher.path.exists() else "does not exist"
        raise UsageError(f"{named} {state}; give the folder of a finished mtf train or mtf teach")
    if not teacher.is_finished("train"):
        raise UsageError(
            f"{named} has not finished its training; finish it first:"
            f" mtf train --out {teacher.path} --resume"
        )
    theirs = teacher.load_recipe()
    for section, name in (("data", "name"), ("data", "classes"), ("model", "resolution_px")):
        its, ours = (getattr(getattr(one, section), name) for one in (theirs, recipe))
        if its != ours:
            raise UsageError(
                f"{named} has {section}.{name} {its}, and this run {ours}; give a run of the same"
            )
    teacher.load_stage("train")


def find_weights(run: RunFolder, recipe: Recipe, variant: Variant) -> Origin | None:
    """Return the file that `train.weights` means; None if training starts at random.

    After its first epoch a training no longer needs the file: its digest is then the noted one,
    and nothing is downloaded for it.
    """
    if not recipe.train.weights:
        return None
    path, begun = Path(recipe.train.weights), run.has_checkpoint("train")
    try:
        path = find_weights_file(recipe, variant, fetch=not (begun or run.is_finished("train")))
        check_weights_file(path, variant)
        return Origin(path, hash_file(path))
    except MtfError as error:
        held = run.partial_settings("train") if begun else None
        noted = held.inputs.get(WEIGHTS) if held else None
        return Origin(path, noted, None if noted else error)


def find_weights_file(recipe: Recipe, variant: Variant, *, fetch: bool = True) -> Path:
    """Return the path that `train.weights`, not empty, means; with `fetch`, downloaded if need be.

    Raises:
        as `shelf.find_weights`, and UsageError for a model of the zoo that is another network.
    """
    card, file = shelf.find_weights(recipe.train.weights, variant, fetch=fetch)
    trained, named = RunFolder(Path(recipe.train.weights)), recipe.train.weights
    of_weights = recipe.model
    if card or (trained.has_recipe() and not os.path.isfile(named)):
        of_weights = (card.recipe if card else trained.load_recipe()).model
    for name in SHAPING:
        ours, theirs = getattr(recipe.model, name), getattr(of_weights, name)
        if theirs != ours:
            raise UsageError(
                f"train.weights {named} are of another network: they have model.{name} {theirs},"
                f" and this run has {ours}; --set model.{name}={theirs} takes them, or give others"
            )
    return file


def check_weights_file(file: Path, variant: Variant) -> None:
    """Refuse what is no file of weights of a network: missing, damaged, or of another one."""
    held, said = _read_kernels(file)
    if not has_kernels(held, variant, whole=file.suffix not in SUFFIXES):
        theirs, hint = _explain_misfit(variant, find_network(held), said)
        raise UsageError(
            f"train.weights {file} are of {theirs} and do not fit this run's {variant.table.name}"
            f" with alpha {variant.alpha:g} ({variant.name}); {hint}"
        )


def _read_kernels(file: Path) -> tuple[dict[str, int], str | None]:
    """Return how many values each kernel of a file has, and of which variant it says that it is."""
    instead, said = "give imagenet, a .safetensors, .h5 or .keras file, or a name of mtf zoo", None
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise UsageError(f"train.weights {file} is not a regular file; {instead}")
        if file.suffix in SUFFIXES:
            tensors = read_keras_file(file).tensors
            sizes = {name: tensor.size for name, tensor in tensors.items()}
        else:
            with safe_open(file, framework="np") as opened:
                names = opened.keys()
                shapes = [opened.get_slice(name).get_shape() for name in names]
                said = (opened.metadata() or {}).get("variant")
            sizes = dict(zip(map(plain_name, names), map(math.prod, shapes), strict=True))
    except OSError as error:
        raise UsageError(f"train.weights {file}: {error.strerror or error}; {instead}") from error
    except UsageError:
        raise
    except MtfError as error:
        raise UsageError(f"train.weights: {error}; {instead}") from error
    except (SafetensorError, ValueError) as error:
        raise UsageError(
            f"train.weights {file} is damaged, or not safetensors ({error}); {instead}"
        ) from error
    return {name: size for name, size in sizes.items() if name.endswith("/kernel")}, said


def _explain_misfit(variant: Variant, found: Variant | None, said: str | None) -> tuple[str, str]:
    """Return of which network weights are that do not fit a variant, and how to make them fit.

    `said` is the name of their variant where the file notes it.
    """
    if found is None:
        return said or "none of `mtf models`", "give weights of this network"
    settings = []
    if found.table.name != variant.table.name:
        settings.append(f"model.name={found.table.name}")
    if found.alpha != variant.alpha:
        settings.append(f"model.alpha={found.alpha:g}")
    if not settings:  # alike but for what was added or taken away
        changed = [name for name in CHANGING if asks_for(variant.options, name)]
        settings += [f"model.{name}={getattr(found.options, name)}" for name in changed]
    hint = f"{' '.join(f'--set {s}' for s in settings)} takes them, or give others"
    return f"{found.table.name} with alpha {found.alpha:g}", hint
