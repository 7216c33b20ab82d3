"""Quantizers of a user's own: found by their import path, built, and held to what they promise."""

from __future__ import annotations

import copy
import importlib
import inspect
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.spec.checks import plain_values
from qsnn_plugins.spec.options import Option

__all__ = ["CUSTOM", "build_custom", "call_in_words", "import_class", "import_path", "is_close"]


def _check_path(argument: str, value: Any) -> str:
    if not isinstance(value, str) or "." not in value:
        raise ArgumentError(argument, value, "the import path of a class, 'package.module.Class'")
    return value


# what the kind "custom" reads, of membranes and of weights
CUSTOM = {"class_path": Option(_check_path), "init_args": Option(plain_values, {})}


def import_path(quantizer: type) -> str:
    """Return the import path of a class.

    Raises:
        ArgumentError: If it is no class, or cannot be imported by its path.

    Example:
        >>> import_path(nn.Hardtanh)
        'torch.nn.modules.activation.Hardtanh'
    """
    if not isinstance(quantizer, type):
        raise ArgumentError("quantizer", quantizer, "a class; class_path takes an import path")
    path = f"{quantizer.__module__}.{quantizer.__qualname__}"
    allowed = "a class that its module has by name: specs keep its import path alone"
    try:
        is_found = import_class(path, "quantizer") is quantizer
    except ArgumentError:
        is_found = False
    if not is_found:
        raise ArgumentError("quantizer", path, allowed)
    return path


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


def build_custom(
    part: str, class_path: str, init_args: dict[str, Any], weight: Tensor | None = None
) -> Any:
    """Build a quantizer of a user's own.

    Args:
        part: "membrane" or "weight", for errors.
        class_path: Import path of its class.
        init_args: Arguments of its constructor.
        weight: The weight that is going to be quantized, which is passed first to a constructor
            with a parameter `weight`; None for a membrane.

    Returns:
        The module, with `levels` (and, of a weight, `scale_count` and `scale_bits`) filled in
        where its class has none.

    Raises:
        ArgumentError: If the class cannot be imported or built, or breaks the contract in
            `MembraneSpec` and `WeightSpec`.
    """
    kind = import_class(class_path, f"{part}.class_path")
    arguments = copy.deepcopy(init_args)
    if weight is not None and "weight" in inspect.signature(kind).parameters:
        arguments = {"weight": weight, **arguments}
    try:
        module: Any = kind(**arguments)
    except (TypeError, ValueError) as error:
        allowed = f"arguments that {class_path} takes ({error})"
        raise ArgumentError(f"{part}.init_args", init_args, allowed) from error
    if weight is not None:
        module.to(weight.device)
    try:
        unit = _check(module, torch.linspace(-2, 2, 24).reshape(2, 3, 4), weight)
    except _ContractError as error:
        raise ArgumentError(
            f"{part}.class_path", class_path, f"a quantizer with {error}"
        ) from error
    if weight is not None and not hasattr(module, "scale_count"):
        module.scale_count, module.scale_bits = unit.numel(), 32
    return module


class _ContractError(QSNNError):
    """What a module should have."""


def _check(module: Any, u: Tensor, weight: Tensor | None) -> Tensor:
    """Fill in the module's levels, and return its unit of a weight, or else of a membrane."""
    bits: Any = getattr(module, "bits", None)
    if not isinstance(bits, int) or isinstance(bits, bool) or not 1 <= bits <= 16:
        raise _ContractError(f"bits, an integer from 1 to 16; it has {bits!r}")
    if not callable(getattr(module, "codes", None)):
        raise _ContractError("a method codes(tensor) that returns integer codes and a unit")
    if not hasattr(module, "levels"):
        # one bit has no room for a two's complement with both signs
        signed = range(-(2 ** (bits - 1)), 2 ** (bits - 1))
        module.levels = (-1, 1) if bits == 1 else tuple(signed)
    codes, unit = _codes(module, u if weight is None else weight.detach())
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
    return unit


@torch.no_grad()
def _codes(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
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


def call_in_words(class_path: str, init_args: dict[str, Any]) -> str:
    """Return the call that builds a quantizer, for print.

    Example:
        >>> call_in_words("my_package.MyMembrane", {"bits": 3})
        'my_package.MyMembrane(bits=3)'
    """
    return f"{class_path}({', '.join(f'{k}={v!r}' for k, v in init_args.items())})"
