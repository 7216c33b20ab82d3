"""Integer networks as safetensors files, with a JSON description."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from qsnn_plugins.errors import ExportError
from qsnn_plugins.export import nodes as known
from qsnn_plugins.export.account import code_bits, level_bits
from qsnn_plugins.export.network import NodeGraph
from qsnn_plugins.export.nodes import (
    Convolution,
    Gather,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Node,
    Output,
    Rescale,
    SumPool,
    WideNeuron,
)
from qsnn_plugins.export.reach import reach
from qsnn_plugins.files import DAMAGED, atomic_write, checked_path, digest, writable
from qsnn_plugins.functional.packing.bits import (
    pack_codes,
    packed_bytes,
    place_in_levels,
    unpack_codes,
)

__all__ = ["read", "save", "smallest"]

_FORMAT = "qsnn-plugins integer network"
_VERSION = 1
_MOST = 2**31  # elements of a tensor, and integers of 32 bits
_MOST_VALUES = 2**27  # that a layer gives: its tables alone would not need so large a file
_MOST_WINDOWS = 2**27  # places that they cover, all together
_PIECE = 1 << 13  # bytes times bits that are unpacked at once
_TYPES = {"bool": bool, "int": int, "float": float, "str": str}


def smallest(tensor: Tensor) -> Tensor:
    """Return integers in the narrowest of int8, int16, int32 and int64 that holds them.

    Example:
        >>> smallest(torch.tensor([300])).dtype
        torch.int16
    """
    low, high = (int(tensor.min()), int(tensor.max())) if tensor.numel() else (0, 0)
    for dtype in (torch.int8, torch.int16, torch.int32):
        if torch.iinfo(dtype).min <= low and high <= torch.iinfo(dtype).max:
            return tensor.to(dtype)
    return tensor.to(torch.int64)


def save(network: NodeGraph, path: str | Path) -> None:
    """Write a network to a file, completely or not at all.

    Args:
        network: What `to_integer` returned.
        path: The file, by convention `.safetensors`.

    Raises:
        ArgumentError: If it cannot be written there.
    """
    checked_path("path", path)
    tensors: dict[str, Tensor] = {}
    layers = []
    for place, node in enumerate(network.nodes):
        values = {f.name: getattr(node, f.name) for f in fields(node)}
        for name in node.tensors:
            tensor = values.pop(name)
            values[f"{name}.shape"] = list(tensor.shape)
            if isinstance(node, Convolution | Linear):
                tensor = pack_codes(place_in_levels(tensor, node.levels), code_bits(node))
            elif not tensor.is_floating_point():
                tensor = smallest(tensor)
            tensors[f"{place}.{name}"] = tensor.contiguous()
        layers.append({"kind": type(node).__name__, **values})
    text = json.dumps({"version": _VERSION, "layers": layers})
    with writable("path", path) as target, atomic_write(target) as file:
        metadata = {"format": _FORMAT, "network": text, "sha256": digest(text, tensors)}
        file.write(to_bytes(tensors, metadata=metadata))


def read(path: str | Path) -> tuple[Node, ...]:
    """Read the nodes of a network that `save` wrote, without executing anything from the file.

    Args:
        path: The file.

    Returns:
        The nodes.

    Raises:
        ExportError: If the file is missing, damaged, or not an integer network.
        ArgumentError: If `path` is not a path.
    """
    path = checked_path("path", path)
    if path.is_dir():
        raise ExportError(f"{path} is a folder: give the file in it")
    try:
        with safe_open(path, framework="pt") as file:
            return _nodes(path, file)
    except (SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ExportError(f"{path} cannot be read as safetensors: {reason}") from None


def _nodes(path: str | Path, file: Any) -> tuple[Node, ...]:
    metadata = file.metadata() or {}
    if metadata.get("format") != _FORMAT:
        raise ExportError(
            f"{path} contains no integer network that `export.to_integer(...).save` wrote; "
            "`qsnn_plugins.load` reads trained networks"
        )
    try:
        content = json.loads(metadata["network"])
        if content["version"] != _VERSION:
            raise ExportError(
                f"{path} has version {content['version']}, and only {_VERSION} is supported"
            )
        _check_digest(path, metadata, file)
    except DAMAGED as error:
        raise ExportError(f"{path} is damaged: {type(error).__name__} {error}") from None
    built: list[Node] = []
    try:
        for place, layer in enumerate(content["layers"]):
            node = _node(place, layer, file, built)
            span = reach(node, [built[i].span for i in node.inputs])  # whatever the file claims
            built.append(replace(node, low=span.low, high=span.high))
        outputs = [place for place, node in enumerate(built) if isinstance(node, Output)]
        if not built or outputs != [len(built) - 1]:
            raise _BrokenError("it has no output at its end, or others before")
        if sum(isinstance(node, Input) for node in built) != 1:
            raise _BrokenError("it has not one input")
        names = [node.name for node in built if isinstance(node, Neuron)]
        if len(set(names)) < len(names):
            raise _BrokenError("several neurons have the same name")
    except (_BrokenError, ExportError) as error:
        raise ExportError(f"{path} is damaged: {error}") from None
    except (SafetensorError, *DAMAGED) as error:
        raise ExportError(f"{path} is damaged: {type(error).__name__} {error}") from None
    return tuple(built)


def _check_digest(path: str | Path, metadata: dict[str, str], file: Any) -> None:
    if "sha256" not in metadata:  # as in files of earlier versions
        return
    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if digest(metadata["network"], tensors) != metadata["sha256"]:
        raise ExportError(f"{path} is damaged: its contents have another SHA-256 than when saved")


class _BrokenError(Exception):
    """What does not fit together."""


def _node(place: int, layer: dict[str, Any], file: Any, built: list[Node]) -> Node:
    values = dict(layer)
    kind = values.pop("kind")
    cls = getattr(known, kind, None) if kind in known.__all__ else None
    if not (isinstance(cls, type) and issubclass(cls, Node)) or cls is Node:
        raise _BrokenError(f"layer {place} is of kind {kind!r:.80}")
    for name in cls.tensors:
        shape = _sizes(values.pop(f"{name}.shape"), place)
        tensor = file.get_tensor(f"{place}.{name}")
        if cls in (Convolution, Linear):
            values[name] = _codes(tensor, _integers(values["levels"], place), shape, place)
        elif tuple(tensor.shape) != tuple(shape):
            raise _BrokenError(
                f"layer {place}: {name} has the shape {list(tensor.shape)}, not {shape}"
            )
        elif name == "states":
            values[name] = tensor
        else:
            values[name] = _whole(tensor, name, torch.int64 if cls is Output else torch.int32)
    for each in fields(cls):
        if each.name not in values:  # and has a default, or is missed below
            continue
        value = values[each.name]
        if each.type == "tuple[int, ...]":
            values[each.name] = tuple(_integers(value, place))
        elif each.type == "float" and type(value) is int:  # as some files of earlier versions have
            values[each.name] = float(value)
        elif each.type in _TYPES and type(value) is not _TYPES[each.type]:
            raise _BrokenError(f"layer {place} has {each.name} {value!r:.80}, not {each.type}")
    node = cls(**values)
    _check(place, node, built)
    bytes_of = [name for name in ("spikes", "next_state") if name in cls.tensors]
    return replace(node, **{name: getattr(node, name).to(torch.uint8) for name in bytes_of})


def _whole(tensor: Tensor, name: str, dtype: torch.dtype) -> Tensor:
    """Return integers in the type of their node."""
    limits = torch.iinfo(dtype)
    if tensor.dtype not in (torch.int8, torch.int16, torch.int32, torch.int64):
        raise _BrokenError(f"{name} are {tensor.dtype}, not integers with a sign")
    if tensor.numel() and max(-int(tensor.min()), int(tensor.max())) > limits.max:
        raise _BrokenError(f"{name} are beyond {limits.bits} bits")
    return tensor.to(dtype)


def _codes(packed: Tensor, levels: list[int], shape: list[int], place: int) -> Tensor:
    """Unpack codes, wide integers of few at a time."""
    table = torch.tensor(levels)
    if not levels or int(table.abs().max()) >= 2**15 or bool((table.diff() <= 0).any()):
        raise _BrokenError(f"layer {place} has levels that do not ascend within 16 bits")
    bits, count = level_bits(levels), math.prod(shape)
    if packed.shape != (packed_bytes(count, bits),):
        raise _BrokenError(f"layer {place} has other codes than {count} of {bits} bits")
    codes = torch.empty(count, dtype=torch.int16)
    # a multiple of 8 codes ends with a byte
    pieces = zip(codes.split(8 * _PIECE), packed.split(bits * _PIECE), strict=True)
    for some, their_bytes in pieces:
        places = unpack_codes(their_bytes, bits, some.shape)
        if int(places.max()) >= len(levels):
            raise _BrokenError(f"layer {place} has codes beyond its levels")
        some.copy_(table[places])
    narrow = int(codes.min()) > -128 and int(codes.max()) < 128
    return codes.reshape(shape).to(torch.int8 if narrow else torch.int16)


def _integers(values: Any, place: int) -> list[int]:
    if not isinstance(values, list) or not all(type(v) is int and abs(v) < _MOST for v in values):
        raise _BrokenError(f"layer {place} has {values!r:.80} where integers belong")
    return values


def _sizes(values: Any, place: int) -> list[int]:
    sizes = _integers(values, place)
    if any(size < 0 for size in sizes) or math.prod(sizes) >= _MOST:
        raise _BrokenError(f"layer {place} has a tensor of the shape {sizes}")
    return sizes


def _check(place: int, node: Node, built: list[Node]) -> None:
    """Refuse what would not run, or would read where nothing is."""

    def want(holds: bool, what: str) -> None:
        if not holds:
            raise _BrokenError(f"layer {place} ({node.name}) {what}")

    count = math.prod(node.shape)
    want(count > 0 and min(node.shape) > 0, "has no shape")
    want(count < _MOST_VALUES, f"gives {count:,} values, and {_MOST_VALUES:,} are the most")
    want(all(0 <= i < place for i in node.inputs), "takes what is not there")
    inputs = [built[i] for i in node.inputs]
    sizes = [math.prod(i.shape) for i in inputs]
    _CHECKS.get(type(node), _check_same)(node, count, sizes, inputs, want)


_Want = Callable[[bool, str], None]


def _check_same(node: Any, count: int, sizes: list[int], inputs: Any, want: _Want) -> None:
    want(len(sizes) > 0 and set(sizes) == {count}, "takes inputs of another size")


def _check_input(node: Input, count: int, sizes: list[int], inputs: Any, want: _Want) -> None:
    want(not sizes, "is an input with inputs")
    want(node.low <= node.high, "has a range that is empty")
    want(0 < node.unit < math.inf, "has no unit")


def _check_window(node: Any, count: int, sizes: list[int], inputs: Any, want: _Want) -> None:
    spatial = len(node.takes) - 1
    kernel = node.codes.shape[2:] if isinstance(node, Convolution) else node.kernel
    dilation = node.dilation if isinstance(node, Convolution) else (1,) * spatial
    each = (kernel, node.stride, node.padding, dilation)
    want(sizes == [math.prod(node.takes)] and min(node.takes) > 0, "takes an input of another size")
    want(1 <= spatial <= 3 and all(len(v) == spatial for v in each), "has windows of no dimension")
    want(min(*kernel, *node.stride, *dilation) > 0 and min(node.padding) >= 0, "has empty windows")
    expected = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, p, d, k, s in zip(
            node.takes[1:], node.padding, dilation, kernel, node.stride, strict=True
        )
    ]
    windows = math.prod(expected) * math.prod(kernel)
    want(windows < _MOST_WINDOWS, "has windows that no memory holds")
    channels = len(node.codes) if isinstance(node, Convolution) else node.takes[0]
    want(tuple(node.shape) == (channels, *expected), "has another shape than its windows give")
    if isinstance(node, Convolution):
        want(node.groups > 0, "has no groups")
        want(node.codes.shape[1] * node.groups == node.takes[0], "takes other channels")
        want(channels % node.groups == 0, "has groups of different sizes")
    elif isinstance(node, MaxPool):
        want(all(2 * p <= k for p, k in zip(node.padding, node.kernel, strict=True)),
             "has windows outside its input")  # fmt: skip


def _check_linear(node: Linear, count: int, sizes: list[int], inputs: Any, want: _Want) -> None:
    want(node.codes.dim() == 2 and len(sizes) == 1, "is not a matrix")
    want(tuple(node.codes.shape) == (count, sizes[0]), "takes an input of another size")


def _check_gather(node: Gather, count: int, sizes: list[int], inputs: Any, want: _Want) -> None:
    index = node.index
    want(tuple(index.shape) == node.shape, "has no order")
    want(int(index.min()) >= 0 and int(index.max()) < sum(sizes), "takes places that are not there")


def _check_rescale(node: Any, count: int, sizes: list[int], inputs: Any, want: _Want) -> None:
    _check_same(node, count, sizes, inputs, want)
    groups = node.bias.numel()
    want(tuple(node.multipliers.shape) == (len(sizes), groups), "has other multipliers than inputs")
    want(groups > 0 and count % groups == 0, "has groups of different sizes")
    if isinstance(node, Rescale):
        want(0 <= node.shift < 63, "has no shift")
    else:
        want(0 < node.unit < math.inf, "has no unit")


def _check_neuron(node: Any, count: int, sizes: list[int], inputs: Any, want: _Want) -> None:
    _check_same(node, count, sizes, inputs, want)
    want(len(sizes) == 1, "takes several inputs")
    want(node.states.dim() == 2 and node.states.is_floating_point(), "has no values of states")
    states, outcomes, groups = node.count, len(node.spikes), len(node.bounds)
    wide = isinstance(node, WideNeuron)
    want(groups > 0 and count % groups == 0, "has groups of different sizes")
    bounds = (groups, outcomes - 1) if wide else (groups, states, outcomes - 1)
    want(tuple(node.bounds.shape) == bounds, "has other bounds than states and outcomes")
    want(tuple(node.next_state.shape) == (outcomes,), "has other outcomes than bounds")
    want(not wide or tuple(node.charge.shape) == (groups, states), "has other charges than bounds")
    want(0 < states <= 256 and 0 <= node.first_state < states, "has no first state")
    want(int(node.next_state.min()) >= 0 and int(node.next_state.max()) < states,
         "stores states that it has not")  # fmt: skip
    want(int(node.spikes.min()) >= 0 and int(node.spikes.max()) <= 255, "sends no spikes")
    want(node.bits == max(1, math.ceil(math.log2(states))), "has states of other bits")


_CHECKS: dict[type, Callable[..., None]] = {
    Input: _check_input,
    Convolution: _check_window,
    SumPool: _check_window,
    MaxPool: _check_window,
    Linear: _check_linear,
    Gather: _check_gather,
    Rescale: _check_rescale,
    Output: _check_rescale,
    Neuron: _check_neuron,
    WideNeuron: _check_neuron,
}
