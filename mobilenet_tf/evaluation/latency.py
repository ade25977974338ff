"""Latency of several models, measured in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from mobilenet_tf.recipe import BenchmarkSettings
from mobilenet_tf.system import terminal

BLOCK_RUNS = 10  # consecutive runs of one model before the next has its turn


def time_interleaved(
    runs: Sequence[Callable[[], Any]], settings: BenchmarkSettings
) -> list[list[float]]:
    """Return the latencies of each of `runs` in ms, one image a run.

    Turns spread what the machine does meanwhile over all: ratios hold where single figures do not.
    """
    for run_once in runs:
        for _ in range(settings.latency_warmup_runs):
            run_once()
    latencies: list[list[float]] = [[] for _ in runs]
    for done in terminal.track(range(0, settings.latency_runs, BLOCK_RUNS), "measuring latency"):
        block = min(BLOCK_RUNS, settings.latency_runs - done)
        for run_once, measured_ms in zip(runs, latencies, strict=True):
            run_once()  # brings its weights back into the cache
            for _ in range(block):
                start = time.perf_counter()
                run_once()
                measured_ms.append((time.perf_counter() - start) * 1e3)
    return latencies
