from __future__ import annotations

from functools import partial

from mobilenet_tf.evaluation.latency import BLOCK_RUNS, time_interleaved
from mobilenet_tf.recipe import BenchmarkSettings


def test_candidates_take_turns_and_each_runs_as_often_as_asked() -> None:
    calls: list[str] = []
    settings = BenchmarkSettings(latency_warmup_runs=3, latency_runs=25)
    latencies = time_interleaved([partial(calls.append, name) for name in "ab"], settings)
    assert [len(taken) for taken in latencies] == [25, 25]
    assert "".join(calls[:6]) == "aaabbb"
    assert "".join(calls[6:]) == ("a" * 11 + "b" * 11) * 2 + "a" * 6 + "b" * 6
    assert BLOCK_RUNS == 10
    assert all(ms >= 0 for taken in latencies for ms in taken)
