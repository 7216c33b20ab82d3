"""The recipes of a command line as they were written, to say where in them something is wrong."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from argparse import ArgumentError, ArgumentParser
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

_CLASS_KEYS = ("class_path", "init_args", "dict_kwargs")
_TOP = ("trainer", "model", "data", "seed_everything", "ckpt_path", "weights_only", "verbose")


@dataclass(frozen=True)
class Place:
    """One key of one recipe."""

    file: Path
    keys: tuple[str, ...]
    value: Any

    def __str__(self) -> str:
        return f"{self.file}: {'.'.join(self.keys)}"


@dataclass(frozen=True)
class Misfit:
    """A key that is not accepted, who does not accept it, and what would be."""

    place: Place
    owner: str
    accepted: list[str]


@dataclass(frozen=True)
class Recipes:
    """The files given with `-c`, in order."""

    files: tuple[Path, ...]

    @classmethod
    def of(cls, words: list[str]) -> Recipes:
        """The recipes that a command line names.

        Example:
            >>> Recipes.of(["fit", "-c", "a.yaml", "--config=sub/b.yaml"]).name
            'a+b'
        """
        parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        parser.add_argument("-c", "--config", action="append", default=[], type=Path)
        try:
            return cls(tuple(parser.parse_known_args(words)[0].config))
        except ArgumentError:
            return cls(())

    @property
    def name(self) -> str:
        """What a run of these recipes is called."""
        return "+".join(file.stem for file in self.files)

    def fault(self) -> str | None:
        """The first recipe that cannot be read at all, in a sentence; None where all can."""
        return next((fault for file in self.files if (fault := _fault(file))), None)

    @cached_property
    def places(self) -> list[Place]:
        """Every key of every recipe, in the order in which they count."""
        return [
            Place(file, keys, value)
            for file in self.files
            for keys, value in _walk(yaml.safe_load(file.read_text()))
        ]

    def find(self, key: str, value: str | None = None) -> Place | None:
        """The last place whose dotted key ends in `key` and, where given, has this value.

        jsonargparse names a key by its last parts only.
        """
        tail = tuple(key.split("."))
        for place in reversed(self.places):
            bare = tuple(part for part in place.keys if part not in ("init_args", "dict_kwargs"))
            if tail in (bare[-len(tail) :], place.keys[-len(tail) :]) and (
                value is None or str(place.value) == value
            ):
                return place
        return None

    def full_key(self, key: str) -> str:
        """The whole of a dotted key, where a recipe has it; the command line gave its value."""
        place = self.find(key)
        return ".".join(place.keys) if place else key

    def misfit(self, place: Place) -> Misfit:
        """The first key on the way to `place` that is not accepted where it stands."""
        from lightning import Trainer

        owner: Callable[..., Any] | None = None
        who, names = "a recipe", list(_TOP)
        for depth, key in enumerate(place.keys, start=1):
            if key in _CLASS_KEYS:
                continue
            if names and not key.isdigit() and key not in names:
                return Misfit(replace(place, keys=place.keys[:depth]), who, names)
            owner = self._class_at(place.keys[:depth]) or _hinted(owner, key)
            if place.keys[:depth] == ("trainer",):
                owner = Trainer
            who, names = (owner.__name__, accepted(owner)) if owner else ("its class", [])
        return Misfit(place, who, names)

    def _class_at(self, keys: tuple[str, ...]) -> Callable[..., Any] | None:
        """The class that the recipes name for the node at `keys`: the last one counts."""
        for place in reversed(self.places):
            if place.keys == (*keys, "class_path"):
                return find_class(place.value)
        return None


def _fault(file: Path) -> str | None:
    if not file.is_file():
        near = get_close_matches(file.name, [p.name for p in file.parent.glob("*.yaml")], n=1)
        hint = f"; did you mean {file.parent / near[0]}?" if near else ""
        return f"there is no recipe {file}{hint}"
    try:
        content = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        return f"{file} cannot be read as YAML: {where}{getattr(error, 'problem', error)}"
    if not isinstance(content, dict):
        return f"{file} is not a recipe: it has none of the keys model, data and trainer"
    return None


def _walk(node: object, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(node, list):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        yield (*keys, str(key)), value
        yield from _walk(value, (*keys, str(key)))


def accepted(owner: Callable[..., Any]) -> list[str]:
    """Names of the arguments of a class or function, those behind `**kwargs` included."""
    if not isinstance(owner, type):
        return _named(owner)[0]
    names: list[str] = []
    for base in owner.__mro__:
        if constructor := vars(base).get("__init__"):
            own, passes_on = _named(constructor)
            names += own
            if not passes_on:
                break
    return names


def _named(function: Callable[..., Any]) -> tuple[list[str], bool]:
    parameters = inspect.signature(function).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [p.name for p in parameters if p.kind not in variadic and p.name != "self"]
    return names, any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def _hinted(owner: Callable[..., Any] | None, key: str) -> type | None:
    """The dataclass that the argument `key` of `owner` takes, if it takes one."""
    if owner is None:
        return None
    try:
        hint = typing.get_type_hints(getattr(owner, "__init__", owner)).get(key)
    except (NameError, TypeError):
        return None
    for choice in typing.get_args(hint) or (hint,):
        if isinstance(choice, type) and dataclasses.is_dataclass(choice):
            return choice
    return None


def find_class(name: object) -> Callable[..., Any] | None:
    """The class or function that a `class_path` names, in full or, once imported, in short."""
    module, _, attribute = str(name).rpartition(".")
    if not module:
        return known_classes().get(attribute)
    try:
        return getattr(import_module(module), attribute, None)
    except ImportError:
        return None


def known_classes() -> dict[str, type]:
    """Every class imported so far that a recipe can name in short, by that name."""
    from lightning import LightningDataModule
    from lightning.pytorch.callbacks import Callback
    from lightning.pytorch.loggers import Logger
    from torch import nn

    pending: list[type] = [nn.Module, LightningDataModule, Callback, Logger]
    known: dict[str, type] = {}
    while pending:
        subclasses: list[type] = pending.pop().__subclasses__()
        for subclass in subclasses:
            if known.get(subclass.__name__) is not subclass:
                known[subclass.__name__] = subclass
                pending.append(subclass)
    return known
