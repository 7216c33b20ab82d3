"""Quantizers of a user's own: found by their import path, built, and held to what they promise."""

from __future__ import annotations

import copy
import importlib
import inspect
import sys
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.spec.checks import plain_values
from qsnn_plugins.spec.options import KindPart, Option

__all__ = ["CUSTOM", "build_custom", "import_class", "import_path", "is_close"]


def _check_path(argument: str, value: Any) -> str:
    if not isinstance(value, str) or "." not in value:
        raise ArgumentError(argument, value, "the import path of a class, 'package.module.Class'")
    return value


# what the kind "custom" reads, of membranes and of weights
CUSTOM = {"class_path": Option(_check_path), "init_args": Option(plain_values, {})}


def import_path(quantizer: type) -> str:
    """Return the import path of a class.

    Raises:
        ArgumentError: If it is not a class, or cannot be imported by its path.

    Example:
        >>> import_path(nn.Hardtanh)
        'torch.nn.modules.activation.Hardtanh'
    """
    if not isinstance(quantizer, type):
        raise ArgumentError("quantizer", quantizer, "a class; class_path takes an import path")
    module, name = quantizer.__module__, quantizer.__qualname__
    if getattr(sys.modules.get(module), name, None) is not quantizer:
        allowed = "a class that its module has by name: specs keep its import path alone"
        raise ArgumentError("quantizer", f"{module}.{name}", allowed)
    return f"{module}.{name}"


def import_class(path: str, argument: str = "class_path") -> type[nn.Module]:
    """Import a module class.

    Args:
        path: Import path, "package.module.Class".
        argument: Name of the argument that it came from.

    Raises:
        ArgumentError: If there is no such class, or it is no `torch.nn.Module`.

    Example:
        >>> import_class("torch.nn.Hardtanh")
        <class 'torch.nn.modules.activation.Hardtanh'>
    """
    module_name, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        allowed = f"the import path of a class, 'package.module.Class' ({error})"
        raise ArgumentError(argument, path, allowed) from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ArgumentError(argument, path, "the import path of a torch.nn.Module class")
    return found


def build_custom(spec: KindPart, weight: Tensor | None = None) -> Any:
    """Build a quantizer of a user's own.

    Args:
        spec: A `MembraneSpec` or a `WeightSpec` of kind "custom".
        weight: The weight that is going to be quantized, which is passed first to a constructor
            with a parameter `weight`; None for a membrane.

    Returns:
        The module, with `levels` (and, of a weight, `scale_count` and `scale_bits`) filled in
        where its class has none.

    Raises:
        ArgumentError: If the class cannot be imported or built, or breaks the contract in
            `MembraneSpec` and `WeightSpec`.
    """
    part = "membrane" if weight is None else "weight"
    quantizer_class = import_class(spec.class_path, f"{part}.class_path")
    arguments = copy.deepcopy(spec.init_args)
    if weight is not None and "weight" in inspect.signature(quantizer_class).parameters:
        arguments = {"weight": weight, **arguments}
    try:
        module: Any = quantizer_class(**arguments)
    except (TypeError, ValueError) as error:
        allowed = f"arguments that {spec.class_path} takes ({error})"
        raise ArgumentError(f"{part}.init_args", spec.init_args, allowed) from error
    if weight is not None:
        module.to(weight.device)
    try:
        _check_contract(module, weight)
    except _ContractError as error:
        allowed = f"a quantizer with {error}"
        raise ArgumentError(f"{part}.class_path", spec.class_path, allowed) from error
    return module


class _ContractError(QSNNError):
    """What a module should have."""


def _check_contract(module: Any, weight: Tensor | None) -> None:
    """Check a module on a weight, or else a membrane, and fill in what it does not say."""
    bits = getattr(module, "bits", None)
    if type(bits) is not int or not 1 <= bits <= 16:
        raise _ContractError(f"bits, an integer from 1 to 16; it has {bits!r}")
    if not callable(getattr(module, "codes", None)):
        raise _ContractError("a method codes(tensor) that returns integer codes and a unit")
    if not hasattr(module, "levels"):
        # one bit has no room for a two's complement with both signs
        signed = range(-(2 ** (bits - 1)), 2 ** (bits - 1))
        module.levels = (-1, 1) if bits == 1 else tuple(signed)
    x = torch.linspace(-2, 2, 24).reshape(2, 3, 4) if weight is None else weight.detach()
    codes, unit = _check_codes(module, x)
    levels = module.levels
    if (
        not isinstance(levels, tuple)
        or list(levels) != sorted(set(levels))
        or len(levels) > 2**bits
        or not set(codes.unique().tolist()) <= set(levels)
    ):
        what = f"a tuple of the at most {2**bits} integers that occur as codes, ascending"
        raise _ContractError(f"levels, {what}")
    if weight is None and unit.numel() != 1:
        raise _ContractError(f"a scalar unit; it has the shape {list(unit.shape)}")
    rows = [len(x), *(1,) * (x.dim() - 1)]
    if weight is not None and list(unit.shape) not in ([], [1], [1] * x.dim(), rows):
        what = f"a scalar unit, or one of shape {rows}; it has the shape {list(unit.shape)}"
        raise _ContractError(what)
    if weight is not None and not hasattr(module, "scale_count"):
        module.scale_count = unit.numel()
    if weight is not None and not hasattr(module, "scale_bits"):
        module.scale_bits = 32


@torch.no_grad()
def _check_codes(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes and unit, after a check that forward returns their product."""
    probe: Any = copy.deepcopy(module).eval()  # what it counts or averages is not to see this
    try:
        quantized, (codes, unit) = probe(x), probe.codes(x)
        codes, unit = torch.as_tensor(codes), torch.as_tensor(unit)
        restored = (codes * unit).to(quantized.dtype)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        what = f"forward and codes of a tensor {list(x.shape)} ({error})"
        raise _ContractError(what) from error
    if quantized.shape != x.shape:
        raise _ContractError(f"a forward that keeps the shape {list(x.shape)}")
    if codes.is_floating_point() or codes.is_complex():
        raise _ContractError(f"integer codes; its codes are {codes.dtype}")
    if not is_close(restored, quantized, unit):
        raise _ContractError("codes that times their unit are what forward returns in eval mode")
    return codes, unit


def is_close(restored: Tensor, quantized: Tensor, unit: Tensor) -> bool:
    """Return whether codes times their unit are what a quantizer returned.

    A straight-through gradient that is written u + (q - u).detach() rounds once more.

    Example:
        >>> is_close(torch.tensor([0.5]), torch.tensor([0.5 + 1e-7]), torch.tensor(0.5))
        True
    """
    tolerance = 1e-5 * float(unit.abs().max())
    return torch.allclose(restored, quantized, rtol=1e-5, atol=tolerance)
