"""`mtf audit`: what a .tflite file holds, and whether it is in the expected format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobilenet_tf.cli.options import json_option
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.recipe import QUANTIZATIONS
from mobilenet_tf.system import terminal

if TYPE_CHECKING:
    from mobilenet_tf.tflite.audit import Audit, TensorInfo

_INTEGER_QUANTIZATIONS = ("int8_ptq", "int8_qat")
CLASSES_SHOWN = 10


@click.command(short_help="Show what a .tflite FILE holds, byte by byte.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--quantization",
    type=click.Choice(QUANTIZATIONS),
    help="Check against the format of this quantization.  [default: what the file says it is]",
)
@click.option(
    "--io-type",
    type=click.Choice(("int8", "uint8")),
    help="Type of input and output of an int8 file.  [default: what the file says, else int8]",
)
@click.option(
    "--logits/--probabilities",
    default=None,
    help="What the output should be.  [default: what the file says, else probabilities]",
)
@json_option
def command(
    *,
    file: Path,
    quantization: str | None,
    io_type: str | None,
    logits: bool | None,
    as_json: bool,
) -> None:
    """Show what a .tflite FILE holds, and check it against the expected format.

    FILE can be the name of a model in mtf zoo.

    Ops, tensor types, input and output, and every byte by kind. The expected format comes from
    the file's metadata, or from the options for other files; without either nothing is checked.
    An int8 file, for one, has no float tensor, one scale a channel and bytes at both ends.
    The exit code is 1 when the file differs from the expected format.

    \b
    Example:
      mtf audit v1_050_r32_int8_qat.tflite
      mtf audit cifar10_v1_050_r32
      mtf audit downloaded.tflite --quantization int8_ptq --io-type uint8
    """
    from mobilenet_tf.tflite.audit import audit
    from mobilenet_tf.tflite.contract import check_contract
    from mobilenet_tf.zoo.shelf import find_tflite

    file = find_tflite(file)
    found = audit(file)
    contract = _find_contract(file, found, quantization, io_type, logits)
    broken = check_contract(found, *contract) if contract else []
    if as_json:
        terminal.echo_json(
            {"file": str(file), **_describe(found), **_describe_contract(contract, broken)}
        )
    else:
        terminal.echo(_format(file, found))
        terminal.echo(_format_contract(contract, broken), style="red" if broken else "")
    if broken:
        raise MtfError(f"{file} is not in the expected format; export it again")


def _find_contract(
    file: Path, found: Audit, quantization: str | None, io_type: str | None, logits: bool | None
) -> tuple[str, str, bool] | None:
    """Return quantization, io type and logits: as asked for, else as the file says."""
    metadata = found.metadata
    if quantization is None and metadata is None:
        if io_type is not None or logits is not None:
            raise UsageError(f"{file} does not name its format; give --quantization too")
        return None
    if quantization is None and metadata is not None:
        quantization = metadata.quantization
        if quantization not in QUANTIZATIONS:
            raise MtfError(
                f"{file} calls itself {quantization!r} (written by mobilenet-tf"
                f" {metadata.project_version}), unknown to this version; give --quantization"
            )
    assert quantization is not None  # noqa: S101  # one of the two has it
    if quantization not in _INTEGER_QUANTIZATIONS:
        if io_type is not None:
            raise UsageError(
                f"--io-type {io_type} is for int8 files; {quantization} has float32 at both ends"
            )
        io_type = "float32"
    elif io_type is None:
        said = metadata.io_type if metadata else ""
        io_type = said if said in ("int8", "uint8") else "int8"
    if logits is None:
        logits = metadata is not None and metadata.output == "logits"
    return quantization, io_type, logits


def _format(file: Path, found: Audit) -> str:
    meta, info = found.metadata, found.info
    lines = [f"{file}: {found.file_bytes:,} bytes"]
    origin = f"mobilenet-tf {meta.project_version}" if meta else "not written by this project"
    lines.append(f"{info.description or info.name or 'no description'} ({origin})")
    if info.classes:
        more = f", ... {info.classes[-1]}" if len(info.classes) > CLASSES_SHOWN else ""
        shown = ", ".join(info.classes[:CLASSES_SHOWN])
        lines.append(f"{len(info.classes)} classes: {shown}{more}")
    if info.mean:
        mean, std = (" ".join(f"{value:g}" for value in part) for part in (info.mean, info.std))
        lines.append(f"real input: (byte - {mean}) / {std}")
    lines.append(f"metadata: {' and '.join(info.documents) or 'none'}")
    ends = [
        (what, tensor.name, tensor.type, "x".join(map(str, tensor.shape)), _scale(tensor))
        for what, indices in (("input", found.inputs), ("output", found.outputs))
        for tensor in (found.tensors[index] for index in indices)
    ]
    lines = [
        *map(terminal.escape, lines),
        "",
        _table("", "name", "type", "shape", "scale", rows=ends),
    ]
    for entry in found.signatures:
        route = f"{', '.join(entry.inputs)} -> {', '.join(entry.outputs)}"
        lines += ["", terminal.escape(f"signature {entry.key}: {route}")]
    outside = (*found.custom_ops, *found.unknown_ops)
    ops = [
        (name, count, "not LiteRT's own" if name in outside else "")
        for name, count in _count(op.name for op in found.ops).items()
    ]
    lines += ["", _table("op", "count", "", rows=ops)]
    lines.append(
        f"{len(found.conversion_ops)} conversions inside the graph,"
        f" {len(found.boundary_ops)} at its edge"
    )
    types = [
        (kind, count, sum(t.size_bytes for t in found.tensors if t.type == kind))
        for kind, count in _count(tensor.type for tensor in found.tensors).items()
    ]
    lines += ["", _table("tensor type", "tensors", "stored bytes", rows=types)]
    sizes = [
        (kind, size, f"{100 * size / found.file_bytes:.1f}")
        for kind, size in found.sizes_bytes.items()
        if size
    ]
    lines += ["", _table("what", "bytes", "% of the file", rows=sizes), ""]
    return "\n".join(lines)


def _table(*titles: str, rows: Iterable[tuple[str | int, ...]]) -> str:
    """Lay out rows under their titles, numbers to the right."""
    from mobilenet_tf.report import Column, format_table

    numbers = ("count", "tensors", "stored bytes", "bytes", "% of the file")
    columns = [Column(t, align="right" if t in numbers else "left") for t in titles]
    written = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows]
    return format_table(columns, [tuple(row) for row in written])


def _format_contract(contract: tuple[str, str, bool] | None, broken: list[str]) -> str:
    if contract is None:
        return "format not checked: the file names none; give --quantization to check one"
    quantization, io_type, logits = contract
    what = f"{quantization}, {io_type} in and out, {'logits' if logits else 'probabilities'}"
    if not broken:
        return f"in the expected format: {what}"
    ways = "1 way" if len(broken) == 1 else f"{len(broken)} ways"
    return "\n  ".join([f"differs from the expected format in {ways}: {what}", *broken])


def _describe(found: Audit) -> dict[str, Any]:
    def list_ends(indices: Iterable[int]) -> list[dict[str, Any]]:
        keys = ("name", "type", "shape", "scales", "zero_points")
        return [{key: getattr(found.tensors[i], key) for key in keys} for i in indices]

    meta, info = found.metadata, found.info
    return {
        "file_bytes": found.file_bytes,
        "sizes_bytes": found.sizes_bytes,
        "ops": _count(op.name for op in found.ops),
        "custom_ops": sorted({*found.custom_ops, *found.unknown_ops}),
        "conversion_ops": len(found.conversion_ops),
        "boundary_ops": len(found.boundary_ops),
        "tensor_types": _count(tensor.type for tensor in found.tensors),
        "inputs": list_ends(found.inputs),
        "outputs": list_ends(found.outputs),
        "signatures": {
            entry.key: {"inputs": list(entry.inputs), "outputs": list(entry.outputs)}
            for entry in found.signatures
        },
        "documents": info.documents,
        "description": info.description or None,
        "classes": list(info.classes) or None,
        "mean": info.mean,
        "std": info.std,
        "resize": info.resize,
        "output": info.output,
        "threshold": info.threshold,
        "author": info.author or None,
        "license": info.license or None,
        "project_version": meta.project_version if meta else None,
    }


def _describe_contract(contract: tuple[str, str, bool] | None, broken: list[str]) -> dict[str, Any]:
    if contract is None:
        return {"contract": None, "kept": None, "violations": []}
    quantization, io_type, logits = contract
    return {
        "contract": {"quantization": quantization, "io_type": io_type, "logits": logits},
        "kept": not broken,
        "violations": broken,
    }


def _count(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _scale(tensor: TensorInfo) -> str:
    """Write a scale as people know it, 1/128, and its zero point."""
    if not tensor.scales:
        return "-"
    scale = tensor.scales[0]
    inverse = 1 / scale if scale else 0.0
    text = f"1/{inverse:.0f}" if inverse and inverse == round(inverse) > 1 else f"{scale:.9g}"
    return f"{text}, zero point {tensor.zero_points[0] if tensor.zero_points else 0}"
