"""Quantized networks as safetensors files, with bit-packed weights."""

from __future__ import annotations

import json
import numbers
import sys
import zipfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from qsnn_plugins.errors import ArgumentError, ExportError
from qsnn_plugins.files import DAMAGED, atomic_write, checked_path, digest, writable
from qsnn_plugins.nn import layer_quantizer
from qsnn_plugins.nn.packed_weight import PackedWeight, pack_weight
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spec.checks import as_integer

__all__ = ["describe", "load", "save"]

_FORMAT = "qsnn-plugins network"
_VERSION = 1
_MODELS = "qsnn_plugins.models"
_WEIGHT = "parametrizations.weight.original"
_PART = "network."  # of a checkpoint


def save(network: nn.Module, path: str | Path) -> None:
    """Write a quantized network to a file of tensors; nothing is pickled.

    A quantized weight is stored as bit-packed codes if the quantizer turns the quantized weight
    into the same codes again. Otherwise (for example, if weights are standardized first) the float
    weight is stored. All other entries of the state dict are stored unchanged, and so is the spec
    of each part.

    Args:
        network: Any network after `inject`, or one of `qsnn_plugins.models`.
        path: The file, by convention `.safetensors`. It is written completely or not at all.

    Raises:
        ArgumentError: If it is not a network, if its state dict contains something other than
            dense tensors with values, or if the file cannot be written.

    Example:
        >>> from tempfile import mkdtemp
        >>> from qsnn_plugins import presets
        >>> from qsnn_plugins.models import StringNet
        >>> network = StringNet("4C3-GAP-FC2", spec=presets.imsnn(weight_bits=4))
        >>> file = Path(mkdtemp(), "network.safetensors")
        >>> save(network, file)
        >>> load(file)(torch.zeros(3, 1, 2, 8, 8)).shape
        torch.Size([3, 1, 2])
    """
    _check_network(network)
    checked_path("path", path)
    tensors, codes = dict[str, Tensor](), dict[str, Any]()
    shared, first_keys = dict[str, str](), dict[tuple[Any, ...], str]()
    for key, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise ArgumentError(f"network.{key}", type(value).__name__, "a state dict of tensors")
        if value.is_meta or is_lazy(value) or value.layout != torch.strided:
            given = "lazy" if is_lazy(value) else "meta" if value.is_meta else str(value.layout)
            raise ArgumentError(f"network.{key}", given, "a dense tensor with values")
        # a square matrix and its transpose differ in their strides alone
        memory = value.data_ptr(), value.shape, value.stride()
        first = first_keys.setdefault(memory, key)
        if first != key and value.numel() and key.endswith(_WEIGHT):
            shared[key] = first
            continue
        tensors[key] = value.detach().cpu().clone().contiguous()
    for name, layer in network.named_modules():
        key = f"{name}.{_WEIGHT}".lstrip(".")
        if key in tensors and (packed := _packed(layer)) is not None:
            tensors[key], tensors[f"{key}:unit"], codes[key] = packed
    content = {
        "version": _VERSION,
        "codes": codes,
        "shared": shared,
        "network": describe(network),
    }
    text = json.dumps(content)
    metadata = {"format": _FORMAT, "content": text, "sha256": digest(text, tensors)}
    data = to_bytes(tensors, metadata=metadata)
    with writable("path", path) as target, atomic_write(target) as file:
        file.write(data)


def load(path: str | Path, network: nn.Module | None = None) -> nn.Module:
    """Load a network from a file of `save` or of a recipe's training; it can be trained further.

    Args:
        path: A file of `save`, or a checkpoint of a recipe, of which only the network is loaded.
        network: For a network that is not one of `qsnn_plugins.models`: a network that is built and
            injected in the same way. If it is quantized differently, the error lists every
            difference, and the network keeps its values; inside `allow_spec_changes` this is
            allowed.

    Returns:
        The network, in evaluation mode.

    A file imports nothing: a quantizer of your own, kind "custom", has to be imported before.

    Raises:
        ExportError: If the file is missing or damaged, or contains no network that can be built.
        ArgumentError: If an argument has the wrong type, or the network is on meta.
    """
    path = checked_path("path", path)
    if network is not None:
        _check_network(network)
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            if tensor.is_meta:  # torch would load nothing
                raise ArgumentError(f"network.{name}", "meta", "a tensor with values")
    if path.is_dir():
        raise ExportError(f"{path} is a folder: give the file in it")
    if zipfile.is_zipfile(path):
        description, state = _read_checkpoint(path)
    else:
        description, state = _read(path)
    try:
        if network is None:
            _check_imports(path, description)
            network = _built(path, description)
            network.load_state_dict(state)
        else:
            _fill(network, state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ExportError(f"{path} does not fit the network: {reason}") from None
    except DAMAGED as error:
        raise ExportError(f"{path} is damaged: {type(error).__name__} {error}") from None
    return network.eval()


def _check_network(network: object) -> None:
    if not isinstance(network, nn.Module):
        raise ArgumentError("network", network, "a torch.nn.Module")


def _fill(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state; where that is refused, torch has loaded some of it, which is undone."""
    tensors = [t for t in (*network.parameters(), *network.buffers()) if not is_lazy(t)]
    before = [tensor.detach().clone() for tensor in tensors]
    try:
        network.load_state_dict(state)
    except BaseException:
        with torch.no_grad():
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)
        raise


def _packed(layer: nn.Module) -> tuple[Tensor, Tensor, dict[str, Any]] | None:
    """Packed codes, their unit and what is needed to unpack them, or None."""
    quantizer: Any = layer_quantizer(layer)
    if quantizer is None:
        return None
    original = layer.parametrizations.weight.original.detach()  # type: ignore[union-attr,operator]
    training = quantizer.training
    quantizer.eval()
    try:
        with torch.no_grad():
            packed = pack_weight(quantizer, original)
            again = pack_weight(quantizer, packed.unpack())
    finally:
        quantizer.train(training)
    same_codes = packed.levels == again.levels and torch.equal(packed.packed, again.packed)
    if not (same_codes and torch.equal(packed.unit, again.unit)):
        return None
    how = {
        "bits": packed.bits,
        "levels": list(packed.levels),
        "shape": list(packed.shape),
        "dtype": str(packed.dtype).removeprefix("torch."),
    }
    return packed.packed.cpu(), packed.unit.cpu().clone().contiguous(), how


def describe(network: nn.Module) -> dict[str, Any] | None:
    """Return how to build a network of `qsnn_plugins.models`, as plain values; None of others.

    Example:
        >>> from qsnn_plugins.models import StringNet
        >>> describe(StringNet("4C3-GAP-FC2"))
        {'class': 'StringNet', 'init_args': {'layers': '4C3-GAP-FC2'}}
    """
    cls = type(network)
    known = getattr(import_module(_MODELS), cls.__name__, None)
    given = getattr(network, "init_args", None)
    if known is not cls or given is None:
        return None
    return {"class": cls.__name__, "init_args": {name: _plain(v) for name, v in given.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, QuantSpec):
        return {"spec": value.to_dict()}
    if isinstance(value, Mapping):
        return {"mapping": {str(key): _plain(item) for key, item in value.items()}}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, numbers.Real) and not isinstance(value, bool | int | float):
        return float(value) if as_integer(value) is None else as_integer(value)  # numpy's
    return value


def _value(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"spec"}:
        return QuantSpec.from_dict(value["spec"])
    if isinstance(value, dict) and set(value) == {"mapping"}:
        return {key: _value(item) for key, item in value["mapping"].items()}
    return tuple(value) if isinstance(value, list) else value


def _read_checkpoint(path: str | Path) -> tuple[Any, dict[str, Tensor]]:
    """The network's part of a checkpoint; nothing is unpickled."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not look at checksums
            damaged = archive.testzip()
        content = torch.load(path, map_location="cpu", weights_only=True)
        state = content["state_dict"]
        part = {k.removeprefix(_PART): v for k, v in state.items() if k.startswith(_PART)}
    # what torch raises depends on the bytes of a file that is none: zip, key, end of file
    except Exception:
        raise ExportError(
            f"{path} cannot be read as a checkpoint of a recipe; a state dict alone goes into "
            "network.load_state_dict"
        ) from None
    if damaged is not None:
        raise ExportError(f"{path} is damaged: the checksum of {damaged} is wrong")
    return content.get("network"), part


def _read(path: str | Path) -> tuple[Any, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ExportError(f"{path} cannot be read as safetensors: {reason}") from None
    if metadata.get("format") != _FORMAT:
        raise ExportError(
            f"{path} contains no network that `qsnn_plugins.save` wrote; "
            "`qsnn_plugins.export.load` reads integer networks"
        )
    try:
        content = json.loads(metadata["content"])
        if content["version"] != _VERSION:
            raise ExportError(f"{path} is of version {content['version']}, not {_VERSION}")
        # files of earlier versions have none
        if metadata.get("sha256", own := digest(metadata["content"], tensors)) != own:
            raise ExportError(
                f"{path} is damaged: its contents have another SHA-256 than when saved"
            )
        return content["network"], _state(content, tensors)
    except DAMAGED as error:
        raise ExportError(f"{path} is damaged: {type(error).__name__} {error}") from None


def _state(content: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    state = dict(tensors)
    for key, how in content["codes"].items():
        packed, unit = state[key], state.pop(f"{key}:unit")
        dtype: torch.dtype = getattr(torch, how["dtype"])
        shape = torch.Size(how["shape"])
        state[key] = PackedWeight(
            packed, how["bits"], tuple(how["levels"]), shape, unit, dtype
        ).unpack()
    for key, first in content["shared"].items():
        state[key] = state[first]
    return state


def _check_imports(path: Path, content: Any) -> None:
    """Raise an error if a file would have a module imported, which can run anything.

    Raises:
        ExportError: If it names a class of a module that is not imported yet.
    """
    if isinstance(content, Mapping):
        module = str(content.get("class_path") or "").rpartition(".")[0]
        if module and module not in sys.modules:
            raise ExportError(
                f"{path} has the quantizer {content['class_path']}: import {module} first, if you "
                "trust it"
            )
        content = list(content.values())
    for value in content if isinstance(content, list | tuple) else ():
        _check_imports(path, value)


def _built(path: str | Path, description: Any) -> nn.Module:
    if description is None:
        raise ExportError(
            f"{path} contains a network of your own: build and inject it as before, and pass it as "
            "`network`"
        )
    models = import_module(_MODELS)
    name = description["class"]
    cls = getattr(models, name, None) if name in models.__all__ else None
    if not (isinstance(cls, type) and issubclass(cls, models.TimeMajorNet)):
        raise ExportError(f"{path} asks for {name!r}, which is not a network of {_MODELS}")
    return cls(**{key: _value(value) for key, value in description["init_args"].items()})
