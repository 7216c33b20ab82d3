"""What a class that a recipe names takes: its arguments, their types, and what may stand there."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections import abc
from collections.abc import Callable
from functools import cache
from importlib import import_module
from inspect import Parameter
from typing import Any, NamedTuple

_COLLECTIONS = (list, tuple, dict, abc.Sequence, abc.Iterable, abc.Mapping)


class Argument(NamedTuple):
    """One argument of a class or function."""

    hint: Any
    is_required: bool


@cache
def arguments(owner: Callable[..., Any]) -> dict[str, Argument]:
    """The arguments of a class or function, those behind `**kwargs` included.

    Example:
        >>> def scale(x: int, by: float = 1.0) -> float: ...
        >>> list(arguments(scale))
        ['x', 'by']
    """
    found: dict[str, Argument] = {}
    for function in _constructors(owner):
        try:
            parameters = inspect.signature(function).parameters.values()
        except ValueError:
            break
        hints = _hints(function)
        for p in parameters:
            if p.name != "self" and p.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
                argument = Argument(hints.get(p.name, Any), p.default is Parameter.empty)
                found.setdefault(p.name, argument)
        if not any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
            break
    return found


def classes_of(hint: Any) -> tuple[type, ...]:
    """The classes of which an argument takes an instance, dataclasses and plain types left out.

    An argument that is called, such as an optimizer's constructor, takes what it returns.
    """
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(found for choice in typing.get_args(hint) for found in classes_of(choice))
    if typing.get_origin(hint) is Callable:
        return classes_of(typing.get_args(hint)[-1])
    is_class = isinstance(hint, type) and hint is not Any and hint.__module__ != "builtins"
    is_protocol = getattr(hint, "_is_protocol", False)  # no class can be held against it
    return (hint,) if is_class and not (is_protocol or dataclasses.is_dataclass(hint)) else ()


def returned_type(hint: Any) -> type | None:
    """What the functions return that an argument takes, where it says so."""
    choices = (hint, *typing.get_args(hint))
    callables = [typing.get_args(c) for c in choices if typing.get_origin(c) is Callable]
    return next((c[-1] for c in callables if isinstance(c[-1], type) and c[-1] is not Any), None)


def is_factory(hint: Any) -> bool:
    """Whether an argument is called, rather than an instance."""
    return any(typing.get_origin(choice) is Callable for choice in (hint, *typing.get_args(hint)))


def dataclass_of(hint: Any) -> type | None:
    """The dataclass that an argument takes, if it takes one."""
    choices = (hint, *typing.get_args(hint))
    return next((c for c in choices if isinstance(c, type) and dataclasses.is_dataclass(c)), None)


def find_class(name: object) -> Callable[..., Any] | None:
    """The class or function that a `class_path` names, in full or, once imported, in short."""
    parts = str(name).split(".")
    if not all(map(str.isidentifier, parts)):
        return None
    if len(parts) == 1:
        return known_classes().get(parts[0])
    for end in range(len(parts) - 1, max(len(parts) - 3, 0), -1):  # a class, or one within a class
        try:
            found: Any = import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            found = getattr(found, part, None)
        return found
    return None


def known_classes() -> dict[str, type]:
    """Every class imported so far that a recipe can name in short, by that name."""
    from lightning import LightningDataModule
    from lightning.pytorch.callbacks import Callback
    from lightning.pytorch.loggers import Logger
    from torch import nn
    from torch.optim import Optimizer

    pending: list[type] = [nn.Module, LightningDataModule, Callback, Logger, Optimizer]
    known: dict[str, type] = {}
    while pending:
        subclasses: list[type] = pending.pop().__subclasses__()
        for subclass in subclasses:
            if known.get(subclass.__name__) is not subclass:
                known[subclass.__name__] = subclass
                pending.append(subclass)
    return known


def item_hint(hint: Any) -> Any:
    """The type of the items where an argument is a list or a mapping, such as `list[Callback]`."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    choices = typing.get_args(hint) if is_union else (hint,)
    items = [typing.get_args(c) for c in choices if typing.get_origin(c) in _COLLECTIONS]
    found = tuple(arg for args in items for arg in args[-1:] + args[:1] if arg is not Ellipsis)
    return typing.Union[found] if found else Any  # noqa: UP007 - of a tuple


def is_instance_of(named: Callable[..., Any] | None, bases: tuple[type, ...]) -> bool:
    """Whether a named class, or what a named function says it returns, is one of `bases`."""
    made = named if isinstance(named, type) else _hints(named).get("return")
    made = typing.get_origin(made) or made
    return not bases or (isinstance(made, type) and issubclass(made, bases))


def _constructors(owner: Callable[..., Any]) -> list[Callable[..., Any]]:
    if not isinstance(owner, type):
        return [owner]
    return [vars(base)["__init__"] for base in owner.__mro__ if "__init__" in vars(base)]


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):
        return {}
