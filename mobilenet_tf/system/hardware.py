"""What the processor and the system give this process: features, cores, memory."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# What speeds up training (TensorFlow with oneDNN) and the int8 kernels (XNNPACK).
_X86_FEATURES = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX-VNNI",
    "avx512_bf16": "BF16",
    "amx_tile": "AMX",
}
_ARM_FEATURES = {"asimd": "NEON", "asimddp": "dot product", "i8mm": "i8mm", "bf16": "BF16"}
_MACOS_ARM_KEYS = {"FEAT_DotProd": "asimddp", "FEAT_I8MM": "i8mm", "FEAT_BF16": "bf16"}
_BFLOAT16_FEATURES = {"avx512_bf16", "amx_bf16", "bf16"}
_CGROUP = Path("/sys/fs/cgroup")


def is_x86() -> bool:
    """Tell whether this is a 64-bit x86 processor."""
    return platform.machine().lower() in ("x86_64", "amd64")


def list_features(features: frozenset[str]) -> list[str]:
    """Return, by their common names, those features that make training or int8 faster."""
    titles = _X86_FEATURES if is_x86() else _ARM_FEATURES
    return [title for key, title in titles.items() if key in features]


def read_cpu_features() -> frozenset[str] | None:
    """Return the processor's features under Linux' names; None where they cannot be read."""
    flags = _read_cpuinfo("flags|Features")
    if flags is not None:
        return frozenset(flags.split())
    if platform.system() == "Darwin":
        listed = subprocess.run(
            ["/usr/sbin/sysctl", "-a"], capture_output=True, text=True, timeout=5, check=False
        ).stdout
        if platform.machine() == "arm64":  # every one of them has NEON
            keys = re.findall(r"^hw\.optional\.arm\.(\w+): 1$", listed, re.MULTILINE)
            return frozenset({"asimd", *(_MACOS_ARM_KEYS[k] for k in keys if k in _MACOS_ARM_KEYS)})
        lines = re.findall(r"^machdep\.cpu\.\w*features: (.*)$", listed, re.MULTILINE)
        names = " ".join(lines).lower().split()
        return frozenset("avx" if name == "avx1.0" else name for name in names)
    return None


def has_bfloat16() -> bool:
    """Tell whether the processor multiplies in bfloat16."""
    return bool(_BFLOAT16_FEATURES & (read_cpu_features() or frozenset()))


def usable_cores() -> int:
    """Return how many cores this process may use, by affinity, container and TensorFlow's limit."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    with contextlib.suppress(KeyError, ValueError):
        cores = min(cores, max(1, int(os.environ["TF_NUM_INTRAOP_THREADS"])))
    with contextlib.suppress(OSError, ValueError):  # no control groups, or no limit ("max")
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


def memory_bytes() -> tuple[int, int]:
    """Return the free and the total memory; a container's limit counts."""
    import psutil

    memory = psutil.virtual_memory()
    total, free = int(memory.total), int(memory.available)
    with contextlib.suppress(OSError, ValueError):  # no control groups, or no limit ("max")
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        total, free = min(total, limit), min(free, max(0, limit - used))
    return free, total


def describe_machine() -> dict[str, Any]:
    """Return what speed depends on: processor and its features, cores, memory, system."""
    _, total_bytes = memory_bytes()
    name = _read_cpuinfo("model name")
    return {
        "processor": name or platform.processor() or platform.machine(),
        "features": ", ".join(list_features(read_cpu_features() or frozenset())),
        "architecture": platform.machine(),
        "cores": usable_cores(),
        "memory_gib": round(total_bytes / 2**30, 1),
        "system": platform.system(),
    }


def name_machines(machines: Iterable[Mapping[str, Any]]) -> str:
    """Return results of `describe_machine` in words: "AMD EPYC (AVX2, BF16), 1 or 2 cores"."""
    cores: dict[str, set[int]] = {}
    for machine in machines:
        features = f" ({machine['features']})" if machine.get("features") else ""
        name = f"{machine.get('processor') or 'unknown processor'}{features}"
        cores.setdefault(name, set()).add(machine["cores"])
    return "; ".join(
        f"{name}, {' or '.join(map(str, sorted(counts)))} core{'' if counts == {1} else 's'}"
        for name, counts in sorted(cores.items())
    )


def _read_cpuinfo(field: str) -> str | None:
    """Return a field of Linux' list of processors, from the first of them; None elsewhere."""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(errors="replace")
        if found := re.search(rf"^(?:{field})\s*:(.*)$", text, re.MULTILINE):
            return found[1].strip()
    return None
