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
from mobilenet_tf.models.blocks import POOLING
from mobilenet_tf.models.keras_file import OWN_SCALE, SUFFIXES, plain_name, read_keras_file

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


def load_features(model: keras.Model, path: Path, *, dataset: str | None = None) -> tuple[str, ...]:
    """Read every weight of `model` from a file, the classifier's only if it is of `dataset`.

    With `dataset` None, the classifier's are read if they are for as many classes. A file of
    Keras (`keras_file.SUFFIXES`) names no dataset, may end in another head and gets our input
    scale. Returns the names of the weights left unchanged. Nothing is changed unless every other
    name and shape agrees.

    Raises:
        MtfError: the file is missing, damaged, or of another model or alpha.
    """
    head, metadata = set(_classifier_weights(model)), dict[str, str]()
    if path.suffix in SUFFIXES:
        tensors = _read_keras(model, path)
        head |= weight_variables(model).keys() - _features(model).keys() - tensors.keys()
    else:
        tensors, metadata = read_weights(path)
    if dataset is None:
        classes = int(model.output_shape[-1])
        fits = all(tensors[n].shape[-1:] == (classes,) for n in head if n in tensors)
    else:
        fits = metadata.get("dataset") == dataset
    variables = weight_variables(model)
    left = tuple(n for n in variables if n in head and not (fits and n in tensors))
    kept = {name: variables[name].numpy() for name in left}
    _assign(model, {**tensors, **kept}, f"weights file {path}")
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
    named = {plain_name(v.name): v.numpy() for v in weight_variables(source).values()}
    _assign(target, _rename(target, named), f"model {source.name}")


def _rename(model: keras.Model, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Return tensors by `plain_name` with the names and dimensions of the model's weights."""
    ours = {plain_name(name): name for name in weight_variables(model)}
    shapes = {name: tuple(v.shape) for name, v in weight_variables(model).items()}
    renamed = {}
    for plain, tensor in tensors.items():
        name = ours.get(plain, plain)
        is_dense = shapes.get(name) == (1, 1, *tensor.shape)
        renamed[name] = tensor[np.newaxis, np.newaxis] if is_dense else tensor
    return renamed


def _read_keras(model: keras.Model, path: Path) -> dict[str, Array]:
    """Return what a file of Keras has of the model's weights, for our input scale."""
    file, variables = read_keras_file(path), weight_variables(model)
    features = _features(model).keys()
    named = _rename(model, file.tensors)
    if not features & named.keys():
        named = _pair_in_order(model, file.tensors) or named
    if features <= named.keys():
        _fold_scale(variables, named, file.scale)
        named = {name: array for name, array in named.items() if name in variables}
    return named


def _pair_in_order(model: keras.Model, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Return tensors with the names of the model's weights before pooling, paired in order.

    Keras' oldest published files are named otherwise than what Keras builds today, which reads
    them by the order of the layers. Empty unless kinds and shapes agree from first to last.
    """
    pairs = list(zip(_features(model).items(), tensors.items(), strict=False))
    agree = len(pairs) == len(_features(model)) and all(
        plain_name(ours).rpartition("/")[2] == theirs.rpartition("/")[2]
        and tuple(variable.shape) == tensor.shape
        for (ours, variable), (theirs, tensor) in pairs
    )
    return {ours: tensor for (ours, _), (_, tensor) in pairs} if agree else {}


def _fold_scale(
    variables: Mapping[str, Any], tensors: dict[str, Array], scale: tuple[float, float]
) -> None:
    """Make the first convolution take (byte - 128) / 128 where it took another scale of the byte.

    That input is (its own - shift) / factor: the kernel is multiplied by the factor, and what the
    shift adds to every output of the convolution is taken off the mean of its batch
    normalization. Exact but for the border, whose padding is 0 on both scales.
    """
    factor = scale[0] / OWN_SCALE[0]
    shift = scale[1] - factor * OWN_SCALE[1]
    kernel = next(name for name in variables if name.endswith("kernel"))
    mean = next(name for name in variables if name.endswith("moving_mean"))
    exact = tensors[kernel].astype(np.float64)
    tensors[kernel] = (exact * factor).astype(np.float32)
    tensors[mean] = (tensors[mean] - shift * exact.sum((0, 1, 2))).astype(np.float32)


def _features(model: keras.Model) -> dict[str, Any]:
    """Return the weights before the pooling over the whole image, else all but the classifier's."""
    variables = weight_variables(model)
    names = [layer.name for layer in model.layers]
    pool = names.index(POOLING) if POOLING in names else len(names)
    before = {*names[:pool]} - {_classifier(variables)}
    return {name: v for name, v in variables.items() if name.rpartition("/")[0] in before}


def _classifier_weights(model: keras.Model) -> tuple[str, ...]:
    """Return the names of the classifier's weights."""
    variables = weight_variables(model)
    classifier = _classifier(variables)
    return tuple(name for name in variables if name.rpartition("/")[0] == classifier)


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
