"""A diverged run: how it is noticed, and what its error advises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mobilenet_tf.errors import MtfError
from mobilenet_tf.recipe import FitSettings


def find_broken(variables: Mapping[str, Any]) -> str | None:
    """Return the name of a variable that holds NaN or infinity; None if none does."""
    for name, variable in variables.items():
        if variable.dtype.is_floating and not np.isfinite(variable.numpy()).all():
            return name.removesuffix(":0")
    return None


def make_divergence(
    what: str, label: str, settings: FitSettings, *, step: int, epoch: int
) -> MtfError:
    """Return the error of a run that diverged at a step of an epoch, both counted from 0."""
    kept = f"the checkpoint of epoch {epoch} is kept: continue with --allow-changes and"
    return MtfError(
        f"training diverged: {what} at step {step + 1} (epoch {epoch + 1});"
        f" {kept if epoch else 'run it again with'} a lower {label}.learning_rate, say"
        f" {settings.learning_rate / 4:.3g}, or with {label}.clip_norm 1"
    )
