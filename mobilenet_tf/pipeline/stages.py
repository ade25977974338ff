"""The stage table: what each stage needs, which settings decide it, what it does.

A stage is a function of its settings and of the folders of the stages before it. It writes into a
folder of its own and hands over files and a result, never live objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mobilenet_tf.data.catalog import DatasetInfo, dataset_info
from mobilenet_tf.errors import UsageError
from mobilenet_tf.evaluation.test_time import check_views
from mobilenet_tf.models.cost import count_variant_costs
from mobilenet_tf.recipe import QUANTIZATIONS, FitSettings, Recipe
from mobilenet_tf.runs import provenance
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.history import load_history
from mobilenet_tf.runs.names import recipe_variant
from mobilenet_tf.runs.record import RunRecord
from mobilenet_tf.runs.results import Metrics, ReportMetrics, StageResult, Stages
from mobilenet_tf.system.duration import format_duration
from mobilenet_tf.training.progressive import progressive_sides

Echo = Callable[[str], None]
LARGEST_KERNEL = 2**25  # float32 values: 2^30 bits, beyond which the converter folds no constant


@dataclass(frozen=True)
class Work:
    """What a stage gets: the recipe, its folder, the stages before it, where the data is."""

    run: RunFolder
    recipe: Recipe
    folder: Path
    inputs: Mapping[str, Path]  # stage -> its folder
    results: Mapping[str, StageResult]
    data_dir: Path | None
    echo: Echo
    progress: bool


@dataclass(frozen=True)
class Outcome:
    """What a stage found: its metrics and the fingerprints of the images it saw."""

    metrics: Metrics
    data: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One row of the stage table."""

    name: str
    needs: tuple[str, ...]  # stages whose files it reads; those the recipe leaves out are skipped
    sections: tuple[str, ...]  # sections of the recipe that decide its outcome
    resumable: bool  # continues from a checkpoint in its partial folder
    run: Callable[[Work], Outcome]


def run_train(work: Work) -> Outcome:
    """Train the float network."""
    from mobilenet_tf.pipeline.training import train_float

    check_machine(work.recipe)
    return Outcome(*train_float(work.recipe, work.folder, work.data_dir, work.echo, work.progress))


def run_qat(work: Work) -> Outcome:
    """Fine-tune the float network with fake quantization."""
    from mobilenet_tf.pipeline.training import train_quantized

    return Outcome(
        *train_quantized(
            work.recipe,
            work.inputs["train"],
            work.folder,
            data_dir=work.data_dir,
            echo=work.echo,
            progress=work.progress,
        )
    )


def run_export(work: Work) -> Outcome:
    """Write the `.tflite` files."""
    from mobilenet_tf.pipeline.export import export_files

    return Outcome(
        *export_files(
            work.recipe,
            work.inputs,
            work.folder,
            data_dir=work.data_dir,
            echo=work.echo,
            progress=work.progress,
        )
    )


def run_benchmark(work: Work) -> Outcome:
    """Measure every model of the run on the test split."""
    from mobilenet_tf.pipeline.benchmark import benchmark_run

    return Outcome(
        *benchmark_run(work.recipe, work.inputs, work.data_dir, work.echo, work.progress)
    )


def run_report(work: Work) -> Outcome:
    """Write report.md, report.json and report.html."""
    from mobilenet_tf.report.page import write_report

    write_report(work.folder, describe_run(work.run, work.recipe, work.results))
    return Outcome(ReportMetrics())


STAGES = (
    Stage("train", (), ("data", "model", "augmentation", "train"), True, run_train),
    Stage("qat", ("train",), ("data", "model", "augmentation", "qat"), True, run_qat),
    Stage("export", ("train", "qat"), ("data", "model", "export"), False, run_export),
    Stage(
        "benchmark",
        ("train", "qat", "export"),
        ("data", "model", "benchmark"),
        False,
        run_benchmark,
    ),
    Stage("report", ("train", "qat", "export", "benchmark"), (), False, run_report),
)


def find_stage(name: str) -> Stage:
    """Return a row of the stage table."""
    return next(stage for stage in STAGES if stage.name == name)


def is_wanted(stage: Stage, recipe: Recipe) -> bool:
    """Tell whether the recipe has this stage at all."""
    return stage.name != "qat" or recipe.qat.epochs > 0


def wanted_needs(stage: Stage, run: RunFolder, recipe: Recipe) -> list[str]:
    """Return the stages that this one builds on in this run.

    Quantization-aware training is optional: a run that never began it is exported without.
    """

    def is_needed(name: str) -> bool:
        if name != "qat":
            return True
        begun = run.is_finished(name) or run.partial(name).is_dir()
        return is_wanted(find_stage(name), recipe) and begun

    return [name for name in stage.needs if is_needed(name)]


def check_recipe(recipe: Recipe) -> None:
    """Refuse at once what a later stage would refuse: names, sizes, contradictions.

    Raises:
        UsageError: an unknown model or dataset, a resolution the model cannot take, …
    """
    info = dataset_info(recipe.data.name)
    largest = max(
        count_variant_costs(recipe_variant(recipe)).layers, key=lambda layer: layer.folded_weights
    )
    if recipe.qat.epochs and largest.folded_weights > LARGEST_KERNEL:
        raise UsageError(
            f"the kernel of {largest.name} has {largest.folded_weights:,} values, and the TFLite"
            f" converter takes fake-quantized ones of at most {LARGEST_KERNEL:,}; lower model.alpha"
            " or model.resolution_px, or set qat.epochs=0 and export int8_ptq"
        )
    if recipe.data.validation_count >= info.train_count:
        raise UsageError(
            f"data.validation_count {recipe.data.validation_count} leaves nothing to train on:"
            f" {info.name} has {info.train_count:,} training images"
        )
    for section in ("train", "qat"):
        _check_fit(section, recipe, info)
    growing = progressive_sides(recipe)
    if growing and not recipe.train.progressive_share:
        raise UsageError(
            f"train.progressive_px {list(growing)} is never reached, train.progressive_share is 0;"
            " give a share, or no sides"
        )
    _check_augmentation(recipe, info)
    if recipe.train.teacher and not recipe.train.distill_share:
        raise UsageError(
            f"train.teacher {recipe.train.teacher} has no say, train.distill_share is 0; give a"
            " share, or no teacher"
        )
    views = recipe.benchmark.test_time_augmentation
    check_views(views)
    if views and not info.flip_safe:
        raise UsageError(
            f"benchmark.test_time_augmentation turns images, and {info.name} has classes that"
            " a turned image no longer shows; leave it empty"
        )
    quantizations = recipe.export.quantizations
    if not quantizations:
        raise UsageError("export.quantizations is empty; name at least one")
    if len(set(quantizations)) < len(quantizations):
        raise UsageError(
            f"export.quantizations {', '.join(quantizations)} names one twice; name each once"
        )
    if set(quantizations) == {"int8_qat"} and not recipe.qat.epochs:
        raise UsageError(
            "export.quantizations is int8_qat alone and qat.epochs is 0; give qat.epochs, or"
            " export int8_ptq"
        )


def _check_fit(section: str, recipe: Recipe, info: DatasetInfo) -> None:
    fit: FitSettings = getattr(recipe, section)
    left = info.train_count - recipe.data.validation_count
    if fit.batch_size > left:
        raise UsageError(
            f"{section}.batch_size {fit.batch_size} is larger than the {left:,} training"
            f" images; give at most {left}, or lower data.validation_count"
        )
    if fit.final_learning_rate > fit.learning_rate:
        raise UsageError(
            f"{section}.final_learning_rate {fit.final_learning_rate:g} is above"
            f" {section}.learning_rate {fit.learning_rate:g}, which falls to it"
        )
    if fit.schedule == "step" and fit.final_learning_rate:
        raise UsageError(
            f"{section}.final_learning_rate {fit.final_learning_rate:g} means nothing to"
            f" {section}.schedule 'step', which falls by {section}.step_factor; leave it 0"
        )
    if fit.early_stopping_epochs and not recipe.data.validation_count:
        raise UsageError(
            f"{section}.early_stopping_epochs {fit.early_stopping_epochs} needs a validation"
            " split; set data.validation_count, or 0 epochs"
        )


def _check_augmentation(recipe: Recipe, info: DatasetInfo) -> None:
    settings, side_px = recipe.augmentation, min(info.image_shape[:2])
    for name in ("crop_padding_px", "cutout_px"):
        size_px = getattr(settings, name)
        if size_px >= side_px:
            raise UsageError(
                f"augmentation.{name} {size_px} is not smaller than the {side_px} px of"
                f" {info.name}'s images; choose 0 to {side_px - 1}"
            )
    if settings.flip and not info.flip_safe:
        raise UsageError(
            f"augmentation.flip mirrors images, and {info.name} has classes that a mirrored"
            " image no longer shows; set augmentation.flip=false"
        )


def check_machine(recipe: Recipe) -> None:
    """Refuse to train with what this machine could only emulate.

    Raises:
        UsageError: bfloat16 on a GPU or, where there is none, on a processor without it.
    """
    if recipe.train.precision != "bfloat16":
        return
    from mobilenet_tf.training.precision import find_gpus, has_bfloat16

    if has_bfloat16():
        return
    if find_gpus():
        what = "the GPU does not multiply in bfloat16 (NVIDIA's do from compute capability 8.0 on)"
    else:
        what = (
            "this processor does not say that it multiplies in bfloat16 (AVX512-BF16 or AMX-BF16"
            " on x86, BF16 on Arm)"
        )
    raise UsageError(f"train.precision is 'bfloat16', and {what}; use float32, or auto")


def describe_run(run: RunFolder, recipe: Recipe, done: Mapping[str, StageResult]) -> RunRecord:
    """Return a run as the report takes it."""
    return RunRecord(
        name=run.name,
        command=provenance.describe_command(),
        recipe=recipe,
        stages=Stages(**{k: v for k, v in done.items() if k in Stages.__struct_fields__}),
        train_history=load_history(run.stage("train")) if "train" in done else (),
        qat_history=load_history(run.stage("qat")) if "qat" in done else (),
    )


def summarise_run(run: RunFolder, recipe: Recipe, done: Mapping[str, StageResult]) -> str:
    """Return what a finished run ends with: the table, where things are, what comes next."""
    from mobilenet_tf.report import format_stages

    lines = ["", format_stages(describe_run(run, recipe, done)), ""]
    files = {file.quantization: file.file for file in done["export"].metrics.files}
    for_app = next(files[name] for name in reversed(QUANTIZATIONS) if name in files)
    file = run.stage("export") / for_app
    following = "mtf run cifar10"
    if recipe.data.name == "cifar10":
        following = f"mtf predict {file} IMAGE"
    lines.append(f"File for the app: {file}")
    lines.append(f"Report:           {run.stage('report') / 'report.html'}")
    lines.append(f"Next:             {following}")
    return "\n".join(lines)


def summarise_stage(folder: Path, result: StageResult) -> str:
    """Return what a single stage ends with: its files and where they are."""
    kept = [
        f"  {name}  {record.size_bytes:,} bytes"
        for name, record in result.files.items()
        if not name.startswith("tensorboard/")
    ]
    place = folder / result.stage
    took = format_duration(result.wall_time_s)
    return "\n".join([f"{result.stage}: {place} ({took})", *kept])
