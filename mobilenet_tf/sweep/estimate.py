"""How long a trial takes, from the multiply-accumulates of its network."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path

from mobilenet_tf.data.folder import index_images
from mobilenet_tf.data.index import TRAIN
from mobilenet_tf.errors import MtfError
from mobilenet_tf.models.cost import count_costs
from mobilenet_tf.pipeline.plan import Plan
from mobilenet_tf.pipeline.stages import QAT_EPOCH_COST, REST_EPOCHS, REST_S
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.names import recipe_variant

# Multiply-accumulates of the forward pass that training does a second and core: 474 images/s of
# mobilenet_v1, alpha 0.5, 32 px, on two cores (docs/notebook/speed.md).
USUAL_RATE = 474 * 45_310_976 / 2
START_S = 15.0  # imports, loading, tracing


def measure_rate(out: Path) -> float:
    """Return the rate of the trainings that are finished below a folder, or the usual one."""
    rates = []
    for file in sorted(out.glob("*/train/result.json")):
        run = RunFolder(file.parents[1])
        try:
            result = run.load_stage("train", verify=False)
            macs = count_costs(recipe_variant(run.load_recipe())).macs
        except MtfError:
            continue
        rates.append(result.metrics.images_per_s * macs / max(1, result.machine.cores))
    return statistics.median(rates) if rates else USUAL_RATE


def count_training_images(plan: Plan) -> int:
    """Return about how many images an epoch has."""
    if plan.recipe.data.path:
        return len(index_images(Path(plan.recipe.data.path)).rows(TRAIN))
    return plan.dataset.train_count - plan.recipe.data.validation_count


def estimate_s(
    plans: Iterable[Plan], rate: float, *, cores: int = 1, training_alone: bool = False
) -> list[float]:
    """Return the seconds that each run takes by itself on so many cores."""
    taken, counts = [], dict[str, int]()
    for plan in plans:
        recipe, data = plan.recipe, str(plan.recipe.data)
        if data not in counts:
            counts[data] = count_training_images(plan)
        epoch_s = count_costs(plan.variant).macs * counts[data] / (rate * cores)
        seconds = START_S + epoch_s * recipe.train.epochs
        if not training_alone:
            seconds += REST_S + epoch_s * (REST_EPOCHS + QAT_EPOCH_COST * recipe.qat.epochs)
        taken.append(seconds)
    return taken
