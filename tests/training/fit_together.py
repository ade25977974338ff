"""A worker of the tests: fits a tiny network, float and fake-quantized, and saves its variables."""

import sys
import tempfile
from pathlib import Path

import numpy as np

from mobilenet_tf.data.splits import Split
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.recipe import AugmentationSettings, Options, QatSettings, TrainSettings
from mobilenet_tf.training.distillation import Teacher
from mobilenet_tf.training.fine_tuning import make_phase, prepare_twin
from mobilenet_tf.training.loop import FitPlan, fit
from mobilenet_tf.training.trainer import seed_everything
from mobilenet_tf.training.workers import join_workers

workers = join_workers()
seed_everything(1, deterministic=True)
draw = np.random.default_rng(0)
images = draw.integers(0, 256, (128, 16, 16, 3), dtype=np.uint8)
labels = draw.integers(0, 10, 128)
train, held_out = Split(images[:64], labels[:64]), Split(images[64:], labels[64:])
variant = make_variant(
    "mobilenet_v1", alpha=0.1, resolution_px=16, classes=10, options=Options(block_count=1)
)
model = build_variant(variant, dropout=0.2, batch_norm_momentum=0.9, seed=1)
augmentation = AugmentationSettings(mixup_alpha=0.2, crop_padding_px=2)
common = {"epochs": 1, "batch_size": 32, "learning_rate": 0.02}
with tempfile.TemporaryDirectory() as folder:
    settings = TrainSettings(**common, ema_decay=0.9, clip_norm=1.0, class_balance=0.5)
    plan = FitPlan("train", settings, augmentation, 1, Path(folder))
    fitted = fit(model, train, held_out, plan)
variables = {f"float/{v.name}": v.numpy() for v in model.variables}
with tempfile.TemporaryDirectory() as folder:
    tuning = QatSettings(**common, freeze_ranges_share=1.0, freeze_batch_norm_share=1.0)
    twin, _ = prepare_twin(model, train, tuning, 1)
    plan = FitPlan("qat", tuning, augmentation, 1, Path(folder), teacher=Teacher(model, 0.5, 2.0))
    plan = FitPlan(**{**plan.__dict__, "phase": make_phase(twin, tuning)})
    fit(twin, train, held_out, plan)
variables |= {f"qat/{v.name}": v.numpy() for v in twin.variables}
variables["validation_accuracy"] = np.array(fitted.validation_top1)
np.savez(sys.argv[1], **variables)
