from __future__ import annotations

from pathlib import Path

import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.pipeline.stages import (
    STAGES,
    find_stage,
    is_wanted,
    wanted_needs,
)
from mobilenet_tf.recipe import Recipe, load_recipe, recipe_names
from mobilenet_tf.runs.folder import RunFolder, StageSettings


def test_the_table_is_in_order_and_every_need_comes_before() -> None:
    names = [stage.name for stage in STAGES]
    assert names == ["train", "qat", "export", "benchmark", "report"]
    for i, stage in enumerate(STAGES):
        assert set(stage.needs) <= set(names[:i])
        assert find_stage(stage.name) is stage


def test_every_section_of_a_recipe_decides_some_stage() -> None:
    sections = {section for stage in STAGES for section in stage.sections}
    assert sections == set(Recipe.__struct_fields__) - {"seed", "deterministic"}


def test_a_recipe_without_qat_epochs_has_no_qat() -> None:
    qat = find_stage("qat")
    assert is_wanted(qat, Recipe())
    assert not is_wanted(qat, load_recipe("cifar10", ("qat.epochs=0",)))


def test_qat_is_needed_only_by_a_run_that_has_begun_it(tmp_path: Path) -> None:
    run, export = RunFolder(tmp_path / "run"), find_stage("export")
    assert wanted_needs(export, run, Recipe()) == ["train"]
    run.begin("qat", StageSettings(settings={}, inputs={}))
    assert wanted_needs(export, run, Recipe()) == ["train", "qat"]
    assert wanted_needs(export, run, load_recipe("cifar10", ("qat.epochs=0",))) == ["train"]


@pytest.mark.parametrize(
    "name", sorted({*recipe_names()} - {"folder", "transfer"})
)  # they need one
def test_recipes_that_ship_can_be_run(name: str, tmp_path: Path) -> None:
    make_plan(RunFolder(tmp_path / "run"), load_recipe(name))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.name=cifar01"], ["unknown dataset 'cifar01'", "did you mean 'cifar10'"]),
        (["model.name=mobilenetv1"], ["mobilenetv1", "did you mean 'mobilenet_v1'"]),
        (["train.progressive_px=[20]"], ["20 is not a multiple", "stride 8", "from 8, 16, 24"]),
        (["train.progressive_px=[4, 16]"], ["4 is not a multiple", "from 8, 16, 24"]),
        (["train.progressive_px=[16, 32]"], ["32 is not a multiple", "below", "resolution_px 32"]),
        (["train.progressive_px=[16, 40]"], ["40 is not a multiple", "below", "resolution_px 32"]),
        (["train.progressive_px=[24, 16]"], ["[24, 16] does not grow", "smallest first"]),
        (["train.progressive_px=[16, 16]"], ["does not grow", "each side once"]),
        (
            ["train.progressive_px=[16]", "model.stride_plan=imagenet"],
            ["16 is not a multiple", "stride 32", "leave it empty"],
        ),
        (
            ["train.progressive_px=[16]", "model.name=alexnet", "model.alpha=1"],
            ["alexnet", "one resolution only"],
        ),
        (
            ["train.progressive_px=[24]", "model.resolution_px=28"],
            ["resolution_px 28 is not a multiple", "stride 8", "32 px"],
        ),
        (
            ["train.progressive_px=[16]", "train.progressive_share=0"],
            ["progressive_px [16]", "progressive_share is 0"],
        ),
        (
            ["qat.schedule=step", "qat.final_learning_rate=0.0001"],
            ["qat.final_learning_rate 0.0001", "'step'", "leave it 0"],
        ),
        (
            ["qat.class_balance=0.5"],
            ["qat.class_balance 0.5 is ignored", "qat.distill_share is 1", "leave it 0"],
        ),
        (
            ["train.class_balance=0.5", "train.distill_share=1", "train.teacher=x"],
            ["train.class_balance 0.5 is ignored"],
        ),
        (["augmentation.cutout_px=32"], ["augmentation.cutout_px 32", "choose 0 to 31"]),
        (
            ["data.name=digits", "data.validation_count=100"],
            ["augmentation.flip mirrors", "digits", "augmentation.flip=false"],
        ),
        (["train.teacher=x", "train.distill_share=0"], ["train.teacher x", "distill_share is 0"]),
        (["data.validation_count=50000"], ["data.validation_count 50000", "50,000"]),
        (["data.validation_count=49990"], ["train.batch_size 128", "the 10 training images"]),
        (["augmentation.crop_padding_px=32"], ["crop_padding_px 32", "choose 0 to 31"]),
        (["qat.batch_size=45001"], ["qat.batch_size 45001", "give at most 45000"]),
        (
            ["data.validation_count=0", "qat.early_stopping_epochs=2"],
            ["qat.early_stopping_epochs 2", "data.validation_count"],
        ),
        (["model.stride_plan=imagenet", "model.resolution_px=16"], ["resolution 16", "32"]),
        (
            ["model.name=alexnet", "model.alpha=1", "model.resolution_px=224"],
            ["kernel of fc6", "at most 33,554,432", "lower model.alpha"],
        ),
        (
            ["train.ghost_batches=3"],
            ["train.batch_size 128", "train.ghost_batches 3", "multiple of 3"],
        ),
        (["train.final_learning_rate=1"], ["final_learning_rate 1 is above", "learning_rate 0.2"]),
        (
            ["augmentation.strong_share=0.8", "train.epochs=11", "train.distinct_epochs=5"],
            ["strong_share 0.8", "5 train.distinct_epochs", "11 train.epochs", "give 10 epochs"],
        ),
        (
            ["export.accepted_accuracy=0.9", "data.validation_count=0"],
            ["export.accepted_accuracy 0.9", "set data.validation_count"],
        ),
        (["export.quantizations=[]"], ["export.quantizations is empty"]),
        (['export.quantizations=["float32", "float32"]'], ["names one twice"]),
        (['export.quantizations=["int8_qat"]', "qat.epochs=0"], ["qat.epochs is 0", "int8_ptq"]),
    ],
)
def test_what_a_late_stage_would_refuse_is_refused_at_once(
    overrides: list[str], words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        make_plan(RunFolder(tmp_path), load_recipe("cifar10", tuple(overrides)))
    for word in words:
        assert word in str(caught.value)
