"""Weights in and out of models, by name and complete, as safetensors files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from mobilenet_tf.errors import MtfError
from mobilenet_tf.files import write_bytes
from mobilenet_tf.keras import keras

SHOWN_DIFFERENCES = 3

Array = np.ndarray[Any, Any]


def weight_variables(model: keras.Model) -> dict[str, Any]:
    """Return the model's weights by name ("conv1/kernel"), batch normalization's moving ones too.

    Integer variables are counters of training (`SeededDropout.step`, tfmot's steps): checkpoints
    hold them, weights files and parameter counts do not.

    Raises:
        MtfError: two weights have the same name, so that names cannot tell them apart.
    """
    variables: dict[str, Any] = {}
    for variable in model.variables:
        if not variable.dtype.is_floating:
            continue
        name = variable.name.removesuffix(":0")
        if name in variables:
            raise MtfError(f"model {model.name} has two weights named {name}; rename one layer")
        variables[name] = variable
    return variables


def count_parameters(model: keras.Model) -> int:
    """Return the number of weights, moving statistics included, counters of training not."""
    return sum(int(variable.shape.num_elements()) for variable in weight_variables(model).values())


def save_weights(model: keras.Model, path: Path, metadata: Mapping[str, str]) -> None:
    """Write every weight as float32 to a safetensors file, atomically.

    Equal weights and metadata give equal bytes.

    Raises:
        MtfError: the file cannot be written.
    """
    tensors = {
        name: np.asarray(variable.numpy(), np.float32)
        for name, variable in sorted(weight_variables(model).items())
    }
    write_bytes(path, _with_sorted_header(safetensors.numpy.save(tensors, dict(metadata))))


def round_weights(source: Path, target: Path) -> None:
    """Write the weights of a file rounded to float16, which is half the size.

    Raises:
        MtfError: a file cannot be read or written, or a weight is beyond float16's range.
    """
    tensors, metadata = read_weights(source)
    with np.errstate(over="ignore"):  # what overflows is refused below
        rounded = {name: tensor.astype(np.float16) for name, tensor in sorted(tensors.items())}
    beyond = [name for name, tensor in rounded.items() if not np.isfinite(tensor).all()]
    if beyond:
        raise MtfError(
            f"{beyond[0]} of {source} has values beyond float16's range; train with more weight"
            " decay or a lower rate"
        )
    write_bytes(target, _with_sorted_header(safetensors.numpy.save(rounded, metadata)))


def load_weights(model: keras.Model, path: Path) -> dict[str, str]:
    """Read every weight of `model` from a weights file, and return its metadata.

    Nothing is changed unless every name and shape agrees.

    Raises:
        MtfError: the file is missing, damaged, or of another model, alpha or class count.
    """
    tensors, metadata = read_weights(path)
    _assign(model, tensors, f"weights file {path}")
    return metadata


def load_features(model: keras.Model, path: Path, *, dataset: str) -> tuple[str, ...]:
    """Read every weight of `model` from a file, the classifier's only if it is of `dataset`.

    Returns the names of the weights left unchanged. Nothing is changed unless every other name
    and shape agrees.

    Raises:
        MtfError: the file is missing, damaged, or of another model or alpha.
    """
    tensors, metadata = read_weights(path)
    left = () if metadata.get("dataset") == dataset else _classifier_weights(model)
    _assign_but(left, model, tensors, path)
    return left


def load_fitting(model: keras.Model, path: Path) -> tuple[str, ...]:
    """Read every weight of `model` from a file, the classifier's only with as many classes.

    Returns and raises as `load_features` does.
    """
    tensors, _ = read_weights(path)
    left = _classifier_weights(model)
    classes = int(model.output_shape[-1])
    if all(tensors[name].shape[-1:] == (classes,) for name in left if name in tensors):
        left = ()
    _assign_but(left, model, tensors, path)
    return left


def read_weights(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the tensors and the metadata of a weights file.

    Raises:
        MtfError: the file is missing, unreadable, or not whole safetensors.
    """
    try:
        content = path.read_bytes()
        tensors = safetensors.numpy.load(content)
        return tensors, _split_header(content)[0].get("__metadata__", {})
    except OSError as error:
        raise MtfError(f"cannot read weights file {path}: {error.strerror}") from error
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise MtfError(f"weights file {path} is damaged or not safetensors ({error})") from error


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copy every weight from `source` to `target` by name.

    Slashes in the names of the source's layers are underscores here ("Conv/BatchNorm/gamma" is
    "Conv_BatchNorm/gamma"), and a dense kernel (in, out) is that of a 1x1 convolution. Nothing is
    changed unless every name and shape agrees.

    Raises:
        MtfError: a weight is missing, is one too many, or has another shape.
    """
    wanted = weight_variables(target)
    tensors = {}
    for path, variable in weight_variables(source).items():
        layer, _, weight = path.rpartition("/")
        name, array = f"{layer.replace('/', '_')}/{weight}", variable.numpy()
        if name in wanted and tuple(wanted[name].shape) == (1, 1, *array.shape):
            array = array[np.newaxis, np.newaxis]
        tensors[name] = array
    _assign(target, tensors, f"model {source.name}")


def _classifier_weights(model: keras.Model) -> tuple[str, ...]:
    """Return the names of the classifier's weights."""
    variables = weight_variables(model)
    classifier = _classifier(variables)
    return tuple(name for name in variables if name.rpartition("/")[0] == classifier)


def _assign_but(
    left: tuple[str, ...], model: keras.Model, tensors: Mapping[str, Array], path: Path
) -> None:
    """Set every weight but those in `left`, complete."""
    variables = weight_variables(model)
    kept = {name: variables[name].numpy() for name in left}
    _assign(model, {**tensors, **kept}, f"weights file {path}")


def _split_header(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the JSON header and the data of a safetensors file; 8 bytes hold the former's size."""
    data_start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:data_start]), content[data_start:]


def _with_sorted_header(content: bytes) -> bytes:
    """Return the same file with its header sorted: the library orders metadata by a hash."""
    header, data = _split_header(content)
    header_bytes = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    header_bytes += b" " * (-len(header_bytes) % 8)  # the format aligns the data to 8 bytes
    return len(header_bytes).to_bytes(8, "little") + header_bytes + data


def _assign(model: keras.Model, tensors: Mapping[str, Array], origin: str) -> None:
    variables = weight_variables(model)
    differences = [
        *(f"{name} is missing" for name in variables if name not in tensors),
        *(f"{name} is one too many" for name in tensors if name not in variables),
    ]
    reshaped = [
        name
        for name, variable in variables.items()
        if name in tensors and tuple(variable.shape) != tensors[name].shape
    ]
    differences += [
        f"{name} is {_by(tensors[name].shape)}, not {_by(variables[name].shape)}"
        for name in reshaped
    ]
    differences += [
        f"{name} holds {tensor.dtype}, not float32 or float16"
        for name, tensor in tensors.items()
        if name in variables and tensor.dtype not in (np.float32, np.float16)
    ]
    if differences:
        hint = _hint(variables, tensors, reshaped) if len(differences) == len(reshaped) else ""
        hint = hint or "it belongs to another model"
        rest = len(differences) - SHOWN_DIFFERENCES
        more = f"; and {rest} more" if rest > 0 else ""
        shown = "; ".join(differences[:SHOWN_DIFFERENCES])
        raise MtfError(f"{origin} does not fit model {model.name}: {hint} ({shown}{more})")
    for name, variable in variables.items():
        variable.assign(tensors[name].astype(np.float32))


def _hint(variables: Mapping[str, Any], tensors: Mapping[str, Array], reshaped: list[str]) -> str:
    """Say what the differing shapes have in common."""
    classifier = _classifier(variables)
    if any(tensors[name].ndim != len(variables[name].shape) for name in reshaped):
        return ""
    if any(tensors[name].shape[:-2] != tuple(variables[name].shape)[:-2] for name in reshaped):
        return "it has another resolution or stride plan"
    layers = {name.rpartition("/")[0] for name in reshaped}
    if layers == {"head", classifier}:
        return "it has another hidden head layer (head_units)"
    if layers == {classifier}:
        name = reshaped[0]
        theirs, ours = tensors[name].shape[-1], variables[name].shape[-1]
        if theirs != ours:
            return f"it has {theirs} classes and the model has {ours}"
    return "it has another width (alpha)"


def _classifier(variables: Mapping[str, Any]) -> str | None:
    """Return the name of the last layer with a kernel."""
    kernels = [name for name in variables if name.endswith("kernel")]
    return kernels[-1].rpartition("/")[0] if kernels else None


def _by(shape: Any) -> str:
    return "x".join(str(side) for side in shape) or "scalar"
