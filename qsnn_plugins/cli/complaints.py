"""Explain in one sentence why the parser refused a recipe.

The parser's own messages have many lines and name a key only by its last part. Here the composed
recipe is compared with the signatures of the classes that it names. The sentence says where the
first mistake is, and what is allowed there.
"""

# ruff: noqa: E402
from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from qsnn_plugins.torchvision_ops import register_missing_ops

register_missing_ops()  # Lightning imports torchvision, which may need it

from jsonargparse import ArgumentError, ArgumentParser
from lightning import LightningDataModule, LightningModule, Trainer

from qsnn_plugins import presets
from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import article, did_you_mean
from qsnn_plugins.cli.inputs import TOP_KEYS
from qsnn_plugins.cli.signatures import (
    Argument,
    arguments,
    classes_of,
    dataclass_of,
    find_class,
    is_factory,
    is_instance_of,
    item_hint,
    known_classes,
)
from qsnn_plugins.spec import QuantSpec

Keys = tuple[str, ...]

_LONGEST = 300
_TOP = {key: Argument(Any, False) for key in TOP_KEYS}
_TOP |= {"model": Argument(LightningModule, True), "data": Argument(LightningDataModule, True)}
_TOP |= {"seed_everything": Argument(bool | int, False)}
_TOP |= {key: Argument(bool | None, False) for key in ("weights_only", "return_predictions")}


def explain(message: str, composition: Composition) -> str:
    """One sentence for a refused recipe; the parser's message where no misfit is found."""
    return next(_Misfits(composition).of_recipe(), None) or _one_line(message)


class _Misfits:
    """Sentences about what does not fit, in the order of the recipe."""

    def __init__(self, composition: Composition) -> None:
        self.config, self.place = composition.config, composition.place

    def of_recipe(self) -> Iterator[str]:
        yield from self._of_keys((), self.config, _TOP, "a recipe")
        for key, node in self.config.items():
            if key == "trainer" and isinstance(node, dict):
                yield from self._of_arguments((key,), node, arguments(Trainer), "Trainer")
            elif key == "trainer":
                yield f"{self.place((key,))}: {node} is not allowed: give a mapping of options"
            else:
                yield from self._of_value((key,), node, _TOP[key].hint)
        required = sorted(key for key, argument in _TOP.items() if argument.is_required)
        if missing := [key for key in required if self.config.get(key) is None]:
            yield _missing(missing)

    def _of_arguments(
        self, path: Keys, node: dict[str, Any], known: dict[str, Argument], owner: str
    ) -> Iterator[str]:
        yield from self._of_keys(path, node, known, owner)
        for key, value in node.items():
            yield from self._of_value((*path, key), value, known[key].hint)

    def _of_keys(
        self, path: Keys, node: dict[str, Any], known: dict[str, Argument], owner: str
    ) -> Iterator[str]:
        for key in node:
            if key not in known:
                hint = did_you_mean(key, known)
                yield f"{self.place((*path, key))} is not accepted by {owner}{hint}"

    def _of_value(self, path: Keys, value: Any, hint: Any) -> Iterator[str]:
        bases, part = classes_of(hint), dataclass_of(hint)
        is_number = any(choice in (int, float) for choice in typing.get_args(hint))
        if isinstance(value, str) and bases and not is_number and not _accepts(hint, value):
            value = {"class_path": value}
        if isinstance(value, dict) and part is not None:
            yield from self._of_arguments(path, value, arguments(part), part.__name__)
        elif isinstance(value, dict) and "class_path" in value and (bases or hint is Any):
            yield from self._of_class(path, value, hint)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for number, item in enumerate(value):
                yield from self._of_value((*path, str(number)), item, item_hint(hint))
        elif not _accepts(hint, value):
            is_preset = part is QuantSpec and value in presets.NAMES
            named = "; presets are known where the argument is called spec" if is_preset else ""
            if isinstance(value, dict) and bases:
                yield _missing([".".join((*path, "class_path"))])
            else:
                yield f"{self.place(path)}: {value} is not allowed: give {_words(hint)}{named}"

    def _of_class(self, path: Keys, node: dict[str, Any], hint: Any) -> Iterator[str]:
        name, bases = node["class_path"], classes_of(hint)
        place, named = self.place((*path, "class_path")), find_class(name)
        if named is None:
            yield f"{place}: there is no class {name}{_absence(str(name))}"
        elif not is_instance_of(named, bases):
            words = " or ".join(base.__name__ for base in bases)
            yield f"{place}: {name} is not {article(words)} {words}"
        elif inspect.isabstract(named):
            yield f"{place}: {name} is abstract: give a class that derives from it"
        else:
            known, inner = arguments(named), node.get("init_args") or {}
            path = (*path, "init_args")
            yield from self._of_arguments(path, inner, known, named.__name__)
            required = [key for key, argument in known.items() if argument.is_required]
            # whoever calls an optimizer's constructor gives it the parameters
            absent = [key for key in required if inner.get(key) is None]
            missing = [] if is_factory(hint) else absent
            if missing:
                yield _missing([".".join((*path, key)) for key in missing])


def _missing(keys: list[str]) -> str:
    return f"the recipe has no {', '.join(keys)}: give it with -c RECIPE or on the command line"


def _accepts(hint: Any, value: Any) -> bool:
    """Whether the parser takes a value where this type is asked for."""
    if hint is Any:
        return True
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=hint)
    try:
        parser.parse_object({"value": value})
    except ArgumentError:
        return False
    return True


def _words(hint: Any) -> str:
    """A type in words: what may be given."""
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(choice) for choice in choices if choice is not type(None))
    if origin is typing.Literal:
        return " or ".join(map(repr, choices))
    if origin is tuple and Ellipsis not in choices:
        return f"[{', '.join(map(_words, choices))}]"
    if origin is None and isinstance(hint, type):
        return hint.__name__
    return str(hint).replace("typing.", "")


def _absence(name: str) -> str:
    """Why there is no such class, and which is meant."""
    module, _, attribute = name.rpartition(".")
    if not module:
        return did_you_mean(attribute, known_classes())
    if not all(map(str.isidentifier, name.split("."))):
        return ": a name is package.module.Class"
    try:
        names = dir(import_module(module))
    except ImportError as error:
        return f" ({error})"
    hint = did_you_mean(attribute, names, f"{module}.")
    return f" (module {module!r} has no attribute {attribute!r}){hint}"


def _one_line(message: str) -> str:
    """The innermost part: what is around it repeats the classes that contain it."""
    line = " ".join(message[max(message.rfind('Parser key "'), 0) :].split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
