"""`mtf audit`: what a .tflite file holds, and whether it is in the expected format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobilenet_tf.cli.options import PATH, json_option
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.recipe import IO_TYPES, QUANTIZATIONS
from mobilenet_tf.report.tables import text_table
from mobilenet_tf.system import terminal

if TYPE_CHECKING:
    from mobilenet_tf.tflite.audit import Audit

CLASSES_SHOWN = 10


@click.command(short_help="Show what a .tflite FILE holds, byte by byte.")
@click.argument("file", type=PATH)
@click.option(
    "--quantization",
    type=click.Choice(QUANTIZATIONS),
    help="Check against the format of this quantization.  [default: what the file says it is]",
)
@click.option(
    "--io-type",
    type=click.Choice(IO_TYPES),
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

    FILE can be the folder of a run, or the name of a model in mtf zoo.

    Ops, tensor types, input and output, and every byte by kind. The expected format comes from
    the file's metadata, or from the options for other files; without either nothing is checked.
    An int8 file, for one, has no float tensor inside and one scale a channel.
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
    broken = check_contract(found, **contract) if contract else []
    described = _describe(file, found)
    if as_json:
        kept = None if contract is None else not broken
        described |= {"contract": contract, "kept": kept, "violations": broken}
        terminal.echo_json(described)
    else:
        terminal.echo(_format(described, found))
        terminal.echo(_format_contract(contract, broken), style="red" if broken else "")
    if broken:
        raise MtfError(f"{file} is not in the expected format; export it again")


def _find_contract(
    file: Path, found: Audit, quantization: str | None, io_type: str | None, logits: bool | None
) -> dict[str, Any] | None:
    """Return the arguments of `check_contract`: as asked for, else as the file says."""
    metadata = found.metadata
    if quantization is None:
        if metadata is None:
            if io_type is not None or logits is not None:
                raise UsageError(f"{file} does not name its format; give --quantization too")
            return None
        quantization = metadata.quantization
        if quantization not in QUANTIZATIONS:
            raise MtfError(
                f"{file} calls itself {quantization!r} (written by mobilenet-tf"
                f" {metadata.project_version}), unknown to this version; give --quantization"
            )
    if not quantization.startswith("int8"):
        if io_type is not None:
            raise UsageError(
                f"--io-type {io_type} is for int8 files; {quantization} has float32 at both ends"
            )
        io_type = "float32"
    elif io_type is None:
        io_type = metadata.io_type if metadata and metadata.io_type in IO_TYPES else "int8"
    if logits is None:
        logits = metadata is not None and metadata.output == "logits"
    return {"quantization": quantization, "io_type": io_type, "logits": logits}


def _describe(file: Path, found: Audit) -> dict[str, Any]:
    def list_ends(indices: Iterable[int]) -> list[dict[str, Any]]:
        keys = ("name", "type", "shape", "scales", "zero_points")
        return [{key: getattr(found.tensors[i], key) for key in keys} for i in indices]

    meta, info = found.metadata, found.info
    return {
        "file": str(file),
        "file_bytes": found.file_bytes,
        "sizes_bytes": found.sizes_bytes,
        "ops": dict(Counter(op.name for op in found.ops).most_common()),
        "custom_ops": sorted({*found.custom_ops, *found.unknown_ops}),
        "conversion_ops": len(found.conversion_ops),
        "boundary_ops": len(found.boundary_ops),
        "tensor_types": dict(Counter(tensor.type for tensor in found.tensors).most_common()),
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


def _format(described: dict[str, Any], found: Audit) -> str:
    info, version = found.info, described["project_version"]
    origin = f"mobilenet-tf {version}" if version else "not written by this project"
    lines = [
        f"{described['file']}: {found.file_bytes:,} bytes",
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
        (end[:-1], each["name"], each["type"], "x".join(map(str, each["shape"])), _scale(each))
        for end in ("inputs", "outputs")
        for each in described[end]
    ]
    lines = [*map(terminal.escape, lines), ""]
    lines += [text_table(dict.fromkeys(("", "name", "type", "shape", "scale"), ""), ends), ""]
    for key, entry in described["signatures"].items():
        route = f"{', '.join(entry['inputs'])} -> {', '.join(entry['outputs'])}"
        lines += [terminal.escape(f"signature {key}: {route}"), ""]
    foreign = dict.fromkeys(described["custom_ops"], "not LiteRT's own")
    ops = [(name, count, foreign.get(name, "")) for name, count in described["ops"].items()]
    types = [
        (kind, count, sum(t.size_bytes for t in found.tensors if t.type == kind))
        for kind, count in described["tensor_types"].items()
    ]
    sizes = [(k, n, 100 * n / found.file_bytes) for k, n in found.sizes_bytes.items() if n]
    lines += [
        text_table({"op": "", "count": ",", "": ""}, ops),
        f"{described['conversion_ops']} conversions inside the graph,"
        f" {described['boundary_ops']} at its edge",
        "",
        text_table({"tensor type": "", "tensors": ",", "stored bytes": ","}, types),
        "",
        text_table({"what": "", "bytes": ",", "% of the file": ".1f"}, sizes),
        "",
    ]
    return "\n".join(lines)


def _format_contract(contract: dict[str, Any] | None, broken: list[str]) -> str:
    if contract is None:
        return "format not checked: the file names none; give --quantization to check one"
    output = "logits" if contract["logits"] else "probabilities"
    what = f"{contract['quantization']}, {contract['io_type']} in and out, {output}"
    if not broken:
        return f"in the expected format: {what}"
    ways = "1 way" if len(broken) == 1 else f"{len(broken)} ways"
    return "\n  ".join([f"differs from the expected format in {ways}: {what}", *broken])


def _scale(tensor: dict[str, Any]) -> str:
    """Write a scale as people know it, 1/128, and its zero point."""
    if not tensor["scales"]:
        return "-"
    scale = tensor["scales"][0]
    inverse = 1 / scale if scale else 0.0
    text = f"1/{inverse:.0f}" if inverse and inverse == round(inverse) > 1 else f"{scale:.9g}"
    return f"{text}, zero point {next(iter(tensor['zero_points']), 0)}"
