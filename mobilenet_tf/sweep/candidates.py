"""Which networks a budget leaves, by costs that are known before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mobilenet_tf.data.catalog import recipe_dataset
from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.catalog import model_names
from mobilenet_tf.models.cost import count_costs
from mobilenet_tf.recipe import Recipe, replace_settings
from mobilenet_tf.runs.names import recipe_variant
from mobilenet_tf.sweep.grid import Grid
from mobilenet_tf.system.duration import format_duration
from mobilenet_tf.tflite.size import predict_int8_bytes

SIZE_ERROR = 0.01  # of a predicted size: by so much it has to be below the budget
ALPHAS = (0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0, 1.4)
PHOTO_SIDES_PX = (96, 128, 160, 192, 224)
_UNITS_S = {"h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True)
class Budget:
    """What a network may cost; None is no limit."""

    size_bytes: float | None = None
    latency_ms: float | None = None
    within_s: float | None = None

    def __bool__(self) -> bool:
        return self != Budget()


@dataclass(frozen=True)
class Candidate:
    """A network, its settings and its costs; `size_bytes` is predicted, the others are exact."""

    settings: Mapping[str, Any]
    recipe: Recipe
    name: str
    parameters: int
    macs: int
    size_bytes: int
    latency_ms: float | None = None


def parse_duration(text: str) -> float:
    """Return the seconds of "2h", "90min" or "1h30min"."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(h|min|m|s)\s*", text)
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if not seconds or "".join(n + u for n, u in parts) != re.sub(r"\s", "", text):
        raise UsageError(f"--within {text!r} is no duration; write it as 2h, 90min or 1h30min")
    return seconds


def list_candidates(base: Recipe, grid: Grid) -> list[Candidate]:
    """Return the networks of a grid; without one those of all models, widths and, of photographs,
    resolutions up to the recipe's. What a model refuses is left out.
    """
    found: dict[str, Candidate] = {}
    for settings in grid.combinations() if grid.axes else _all_networks(base):
        try:
            recipe = replace_settings(base, settings)
            variant = recipe_variant(recipe)
            cost, data = count_costs(variant), recipe_dataset(recipe)
            size_bytes = predict_int8_bytes(variant, data.classes, data.name)
        except UsageError:
            continue
        key = variant.name if not grid.axes else f"{settings}"
        found.setdefault(
            key, Candidate(settings, recipe, variant.name, cost.parameters, cost.macs, size_bytes)
        )
    return list(found.values())


def _all_networks(base: Recipe) -> Iterator[dict[str, Any]]:
    side_px = base.model.resolution_px
    smaller = [px for px in PHOTO_SIDES_PX if px < side_px]
    for model in model_names():
        for px in (*smaller, side_px):
            for alpha in ALPHAS:
                yield {"model.name": model, "model.alpha": alpha, "model.resolution_px": px}


def choose_candidates(
    candidates: Sequence[Candidate],
    budget: Budget,
    measure: Callable[[Candidate], float | None],
    *,
    widest_alone: bool,
) -> list[Candidate]:
    """Return the networks that meet a budget of size and latency, the most MACs first.

    With `widest_alone`, only the widest of each model and resolution; then latency is measured
    from the widest down, and no more than is needed. One that `measure` knows nothing of (None) is
    left out.

    Raises:
        UsageError: none does; the message names the nearest.
    """
    if not candidates:
        raise UsageError("no network can be built with these settings; give other ones")
    largest = (budget.size_bytes or float("inf")) / (1 + SIZE_ERROR)
    small = [c for c in candidates if c.size_bytes <= largest]
    if not small:
        nearest = min(candidates, key=lambda c: c.size_bytes)
        raise UsageError(
            f"no network is that small: the nearest, {nearest.name}, takes about"
            f" {nearest.size_bytes / 1e3:.1f} KB, and the budget is"
            f" {(budget.size_bytes or 0) / 1e3:g} KB"
        )
    chosen, measured = [], []
    groups: dict[Any, list[Candidate]] = {}
    for candidate in small:
        model = candidate.recipe.model
        groups.setdefault((model.name, model.resolution_px), []).append(candidate)
    for group in groups.values():
        for candidate in sorted(group, key=lambda c: -c.macs):
            known = candidate
            if budget.latency_ms is not None:
                latency_ms = measure(candidate)
                if latency_ms is None:
                    continue
                known = replace(candidate, latency_ms=latency_ms)
                measured.append(known)
                if latency_ms > budget.latency_ms:
                    continue
            chosen.append(known)
            if widest_alone:
                break
    if not chosen:
        raise UsageError(_explain_slow(measured, budget))
    return sorted(chosen, key=lambda c: -c.macs)


def _explain_slow(measured: Sequence[Candidate], budget: Budget) -> str:
    if not measured:
        return "the file of latencies has none of these networks; add them, by their names"
    nearest = min(measured, key=lambda c: c.latency_ms or 0)
    return (
        f"no network is that fast: the nearest, {nearest.name}, takes {nearest.latency_ms:.3g} ms,"
        f" and the budget is {budget.latency_ms:g} ms"
    )


def explain_late(budget: Budget, needed_s: float, name: str) -> str:
    """Say that there is no time for even one network."""
    return (
        f"there is no time for any network: the nearest, {name}, takes about"
        f" {format_duration(needed_s)} from float training to its report, and --within allows"
        f" {format_duration(budget.within_s or 0)}; allow more, or set fewer train.epochs"
    )
