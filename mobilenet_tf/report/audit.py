"""What a `.tflite` file holds, for a terminal and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from mobilenet_tf.report.tables import text_table
from mobilenet_tf.system.terminal import escape
from mobilenet_tf.tflite.audit import Audit
from mobilenet_tf.tflite.contract import Contract

CLASSES_SHOWN = 10


class End(msgspec.Struct, frozen=True):
    """An input or output of the graph."""

    name: str
    type: str
    shape: Sequence[int]
    scales: Sequence[float]
    zero_points: Sequence[int]


class Signature(msgspec.Struct, frozen=True):
    """The names of a signature's inputs and outputs."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class AuditSummary(msgspec.Struct, frozen=True, kw_only=True):
    """An audit in numbers; `kept` is None where no contract was checked."""

    file: str
    file_bytes: int
    sizes_bytes: dict[str, int]
    ops: dict[str, int]
    custom_ops: list[str]
    conversion_ops: int
    boundary_ops: int
    tensor_types: dict[str, int]
    inputs: list[End]
    outputs: list[End]
    signatures: dict[str, Signature]
    documents: Sequence[str]
    description: str | None
    classes: list[str] | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    resize: str | None
    output: str | None
    threshold: float | None
    author: str | None
    license: str | None
    project_version: str | None
    contract: Contract | None
    kept: bool | None
    violations: list[str]


def summarise_audit(
    file: Path, found: Audit, contract: Contract | None, violations: list[str]
) -> AuditSummary:
    """Return the audit of a file and of its contract in numbers."""
    meta, info = found.metadata, found.info

    def list_ends(indices: Iterable[int]) -> list[End]:
        return [
            End(*(getattr(found.tensors[i], name) for name in End.__struct_fields__))
            for i in indices
        ]

    return AuditSummary(
        file=str(file),
        file_bytes=found.file_bytes,
        sizes_bytes=dict(found.sizes_bytes),
        ops=dict(Counter(op.name for op in found.ops).most_common()),
        custom_ops=sorted({*found.custom_ops, *found.unknown_ops}),
        conversion_ops=len(found.conversion_ops),
        boundary_ops=len(found.boundary_ops),
        tensor_types=dict(Counter(tensor.type for tensor in found.tensors).most_common()),
        inputs=list_ends(found.inputs),
        outputs=list_ends(found.outputs),
        signatures={
            entry.key: Signature(tuple(entry.inputs), tuple(entry.outputs))
            for entry in found.signatures
        },
        documents=info.documents,
        description=info.description or None,
        classes=list(info.classes) or None,
        mean=info.mean,
        std=info.std,
        resize=info.resize,
        output=info.output,
        threshold=info.threshold,
        author=info.author or None,
        license=info.license or None,
        project_version=meta.project_version if meta else None,
        contract=contract,
        kept=None if contract is None else not violations,
        violations=violations,
    )


def format_audit(summary: AuditSummary, found: Audit) -> str:
    """Return what a person should know of a file, its names escaped."""
    info, version = found.info, summary.project_version
    origin = f"mobilenet-tf {version}" if version else "not written by this project"
    lines = [
        f"{summary.file}: {summary.file_bytes:,} bytes",
        f"{info.description or info.name or 'no description'} ({origin})",
    ]
    if info.classes:
        more = f", ... {info.classes[-1]}" if len(info.classes) > CLASSES_SHOWN else ""
        shown = ", ".join(info.classes[:CLASSES_SHOWN])
        lines.append(f"{len(info.classes)} classes: {shown}{more}")
    if info.mean:
        mean, std = (" ".join(f"{value:g}" for value in part) for part in (info.mean, info.std))
        lines.append(f"real input: (byte - {mean}) / {std}")
    lines.append(f"metadata: {' and '.join(info.documents) or 'none'}")
    ends = [
        (end, each.name, each.type, "x".join(map(str, each.shape)), _format_scale(each))
        for end, several in (("input", summary.inputs), ("output", summary.outputs))
        for each in several
    ]
    lines = [*map(escape, lines), ""]
    lines += [text_table(dict.fromkeys(("", "name", "type", "shape", "scale"), ""), ends), ""]
    for key, entry in summary.signatures.items():
        route = f"{', '.join(entry.inputs)} -> {', '.join(entry.outputs)}"
        lines += [escape(f"signature {key}: {route}"), ""]
    foreign = dict.fromkeys(summary.custom_ops, "not LiteRT's own")
    ops = [(name, count, foreign.get(name, "")) for name, count in summary.ops.items()]
    types = [
        (kind, count, sum(t.size_bytes for t in found.tensors if t.type == kind))
        for kind, count in summary.tensor_types.items()
    ]
    sizes = [(k, n, 100 * n / summary.file_bytes) for k, n in summary.sizes_bytes.items() if n]
    lines += [
        text_table({"op": "", "count": ",", "": ""}, ops),
        f"{summary.conversion_ops} conversions inside the graph,"
        f" {summary.boundary_ops} at its edge",
        "",
        text_table({"tensor type": "", "tensors": ",", "stored bytes": ","}, types),
        "",
        text_table({"what": "", "bytes": ",", "% of the file": ".1f"}, sizes),
        "",
    ]
    return "\n".join(lines)


def format_contract(contract: Contract | None, violations: Sequence[str]) -> str:
    """Return whether a file is in its expected format, and where it is not."""
    if contract is None:
        return "format not checked: the file names none; give --quantization to check one"
    output = "logits" if contract.logits else "probabilities"
    what = f"{contract.quantization}, {contract.io_type} in and out, {output}"
    if not violations:
        return f"in the expected format: {what}"
    ways = "1 way" if len(violations) == 1 else f"{len(violations)} ways"
    return "\n  ".join([f"differs from the expected format in {ways}: {what}", *violations])


def _format_scale(end: End) -> str:
    """Write a scale as people know it, 1/128, and its zero point."""
    if not end.scales:
        return "-"
    scale = end.scales[0]
    inverse = 1 / scale if scale else 0.0
    text = f"1/{inverse:.0f}" if inverse and inverse == round(inverse) > 1 else f"{scale:.9g}"
    return f"{text}, zero point {next(iter(end.zero_points), 0)}"
