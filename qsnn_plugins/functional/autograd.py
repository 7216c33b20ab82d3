"""Base of the functions with a gradient of their own."""

from __future__ import annotations

import inspect
from typing import Any

import torch

__all__ = ["Function"]


class Function(torch.autograd.Function):
    """torch's, whose `apply` asks for the signature of `forward` in every call: found once here.

    Example:
        >>> class Same(Function):
        ...     @staticmethod
        ...     def forward(x):
        ...         return x.clone()
        ...
        ...     @staticmethod
        ...     def setup_context(ctx, inputs, output):
        ...         pass
        >>> Same.apply(torch.ones(1))
        tensor([1.])
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        forward: Any = cls.forward
        forward.__signature__ = inspect.signature(forward)
