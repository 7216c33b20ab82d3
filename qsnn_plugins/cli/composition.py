"""The recipes and options of a command line, laid on top of each other.

Files come first, in their order, then options. Mappings are merged; a list or a value replaces what
was there, and null resets an option. Two rules keep stale options away:

- in a spec, a mapping whose `kind`, `preset` or `class_path` changes starts anew;
- elsewhere, a mapping whose `class_path` changes keeps the options that the new class has too.

A recipe may name another as its `base`, as a path from its own folder. This module imports nothing
heavy: a file that is not there, or an option that does not exist, is found at once.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.cli.inputs import load_yaml, located, read_with_bases, split_words
from qsnn_plugins.errors import QSNNWarning

_FORMS = {"class_path": str, "init_args": dict, "dict_kwargs": dict}
CLASS_KEYS = tuple(_FORMS)
# Keys below which there are specs: a spec by itself, or one for each pattern of layers.
SPEC, OVERRIDES = "spec", "overrides"
# What makes of a part of a spec, or of a spec, another one.
_CHOICES = ("kind", "preset", "class_path")
# What stands for nothing on a command line.
_EMPTY = ("null", "~", "", "''", '""')
# What `--key+=value` is turned into: an item behind those of a list.
_APPENDED = "+"

Keys = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """A value, and where it was given: a key of a file, or an option of the command line."""

    file: Path | None
    key: str
    value: Any

    def __str__(self) -> str:
        return f"{self.file}: {self.key}" if self.file else f"--{self.key}"

    def below(self) -> Iterator[tuple[str, Place]]:
        """The keys of a mapping or list, with their places."""
        value = dict(enumerate(self.value)) if isinstance(self.value, list) else self.value
        if isinstance(value, dict):
            for key, item in value.items():
                yield str(key), Place(self.file, f"{self.key}.{key}".removeprefix("."), item)


@dataclass
class Composition:
    """What a command line asks for.

    Args:
        files: The files given with `-c`, in order.
        rest: Words for the parser itself, such as `--help`.
        config: The composed configuration.
        places: Where each key of it was given.
        inherited: Options that were kept when a class changed, or when a part of a spec named the
            kind that it may have had, by the path of their mapping.

    Example:
        >>> Composition.of(["--model=Net", "--model.width=3"]).config
        {'model': {'class_path': 'Net', 'init_args': {'width': '3'}}}
    """

    files: tuple[Path, ...] = ()
    rest: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    places: dict[Keys, Place] = field(default_factory=dict)
    inherited: dict[Keys, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, words: list[str]) -> Composition:
        """Compose what the words of a command line name, those behind `fit` and its like.

        Raises:
            RecipeError: A file cannot be read, or an option does not exist.
        """
        files, options, rest = split_words(words)
        composition = cls(tuple(files), rest)
        for file in files:
            below = dict(composition.places)
            for source, content in read_with_bases(located(file)):
                composition._lay(composition.config, (), Place(source, "", content))
            composition._tell_of_order(below, file)
        for key, text in sorted(options, key=lambda option: _rank(option[0])):
            composition._lay(composition.config, (), Place(None, "", _layer(key, text)))
        composition._check_forms(composition.config, ())
        composition._check_trust()
        return composition

    @property
    def name(self) -> str:
        """What a run of these recipes is called."""
        return "+".join(file.stem for file in self.files)

    def place(self, path: Keys) -> Place | None:
        """Where the value at `path`, or else the mapping around it, was given."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path)

    def find(self, key: str, value: object) -> Place | None:
        """The last place whose dotted key ends in `key` and that has this value."""
        tail = tuple(key.split("."))
        for path, place in reversed(self.places.items()):
            short = tuple(part for part in path if part not in CLASS_KEYS)
            ends = (short[-len(tail) :], path[-len(tail) :])  # weight.class_path is in full
            if tail in ends and _is_same(place.value, value):
                return place
        return None

    def is_overlaid(self, path: Keys, by: Keys) -> bool:
        """Whether something at or below `by` lies on top of the value at `path`."""
        known = list(self.places)
        later = known[known.index(path) :]
        return any(
            above[: len(by)] == by and self.places[above].file != self.places[path].file
            for above in later
        )

    def check_needs(self, checkpoint: str | None) -> None:
        """Refuse options of the command line that say how a checkpoint is read if there is none.

        Raises:
            RecipeError: There is such an option, and no checkpoint.
        """
        for key, value in (("ckpt_changes", "allow"), ("weights_only", "false")):
            place = self.places.get((key,))
            if checkpoint is not None or place is None or place.file is not None:
                continue
            if str(place.value).lower() == value:
                allowed = "it together with --ckpt_path"
                raise RecipeError(f"{place}: {value} is not allowed: give {allowed}")

    def _tell_of_order(self, below: dict[Keys, Place], file: Path) -> None:
        """Warn where a recipe is given after an overlay, and undoes what it says."""
        is_overlay_below = below and ("model", "class_path") not in below
        if not is_overlay_below or ("model", "class_path") not in self.places:
            return
        undone = [
            place
            for path, place in below.items()
            if not isinstance(place.value, dict | list)
            and (path not in self.places or self.places[path].value != place.value)
        ]
        if undone:
            told = ", ".join(map(str, undone))
            warnings.warn(
                f"{file} comes after what it replaces ({told}): give the recipe first",
                QSNNWarning,
                stacklevel=2,
            )

    def _check_forms(self, node: Any, path: Keys) -> None:
        """Refuse a class whose name is not a word, or whose arguments are no mapping."""
        if isinstance(node, list):
            node = {str(number): item for number, item in enumerate(node)}
        if not isinstance(node, dict):
            return
        for key, value in node.items():
            if value is not None and not isinstance(value, _FORMS.get(key, object)):
                words = "the name of a class" if key == "class_path" else "a mapping of arguments"
                place = self.place((*path, key))
                raise RecipeError(f"{place}: {value!r} is not allowed: give {words}")
            self._check_forms(value, (*path, key))

    def _check_trust(self) -> None:
        """Refuse a recipe that would have a checkpoint unpickled: only the command line may."""
        trust, checkpoint = self.places.get(("weights_only",)), self.places.get(("ckpt_path",))
        if trust is None or trust.value is None or str(trust.value).lower() == "true":
            return
        if trust.file is not None:
            raise RecipeError(
                f"{trust}: this is allowed only on the command line: --weights_only=false"
            )
        if checkpoint is not None and checkpoint.file is not None and checkpoint.value is not None:
            raise RecipeError(
                f"{checkpoint}: with --weights_only, name the checkpoint on the command line too: "
                f"--ckpt_path={checkpoint.value}"
            )

    def _lay(self, node: dict[str, Any], path: Keys, layer: Place) -> None:
        """Lay a mapping on top of the one at `path`."""
        self._start_anew(node, path, layer.value)
        if "class_path" in node and not any(key in CLASS_KEYS for key in layer.value):
            # the short form, as options have it: what is said of a class are its arguments
            if not isinstance(node.get("init_args"), dict):
                node["init_args"] = {}
            path, node = (*path, "init_args"), node["init_args"]
        for key, place in layer.below():
            self._put(node, path, key, place)

    def _put(self, node: dict[str, Any], path: Keys, key: str, place: Place) -> None:
        """Lay a value on top of what is at `key` of the mapping at `path`."""
        self.inherited.get(path, set()).discard(key)
        path, below, value = (*path, key), node.get(key), place.value
        if isinstance(value, dict) and _APPENDED in value and not isinstance(below, list):
            below = node[key] = [below] if below else []
        is_short = isinstance(value, str) and isinstance(below, dict) and "class_path" in below
        value = {"class_path": value} if is_short else value
        if not isinstance(value, dict):
            self._forget(path)
            node[key] = copy.deepcopy(value)
            self._note(path, place)
            return
        layer = Place(place.file, place.key, value)
        if isinstance(below, list) and "class_path" not in value:
            self._lay_on_list(below, path, layer)
            return
        if isinstance(below, str) and value:
            name = "preset" if is_spec(path) else "class_path"
            node[key] = {name: below}
        elif not isinstance(below, dict):
            self._forget(path)
            node[key] = {}
        self.places.setdefault(path, place)
        self._lay(node[key], path, layer)
        if is_short:
            self.places[(*path, "class_path")] = place  # as it was written

    def _lay_on_list(self, items: list[Any], path: Keys, layer: Place) -> None:
        """Options reach into a list: its last item, the one of a number, or a new one."""
        places = dict(layer.below())
        if _APPENDED in places:
            items.append(None)
            places = {str(len(items) - 1): Place(layer.file, layer.key, places[_APPENDED].value)}
        elif not all(key.isdigit() for key in places):
            places = {str(len(items) - 1): layer}
        node = {str(number): item for number, item in enumerate(items)}
        for key, place in places.items():
            self._put(node, path, key, place)
        items[:] = node.values()

    def _start_anew(self, node: dict[str, Any], path: Keys, layer: dict[str, Any]) -> None:
        """Drop what the layer's change of kind or class makes stale."""
        changes = _CHOICES if _in_spec(path) else ("class_path",)
        changed = [key for key in changes if layer.get(key, node.get(key)) != node.get(key)]
        if not changed:
            return
        known_kind = "class_path" in node or node.get("kind") is not None
        if node and changed == ["kind"] and not known_kind:
            # it may be the preset's kind, or the default
            self.inherited.setdefault(path, set()).update(node)
            return
        if not _in_spec(path) and "class_path" in node:
            self.inherited.setdefault((*path, "init_args"), set()).update(node.get("init_args", {}))
            node.pop("dict_kwargs", None)
            return
        node.clear()
        self._forget(path, itself=False)

    def _note(self, path: Keys, place: Place) -> None:
        """Note the place of a value, and those of what it holds."""
        self.places[path] = place
        for key, inner in place.below():
            self._note((*path, key), inner)

    def _forget(self, path: Keys, itself: bool = True) -> None:
        """Drop the places at and below a path whose value is replaced."""
        for known in [known for known in self.places if known[: len(path)] == path]:
            if itself or known != path:
                del self.places[known]
        for known in [known for known in self.inherited if known[: len(path)] == path]:
            del self.inherited[known]


def _is_same(given: Any, value: Any) -> bool:
    """Whether a value is what the parser made of the given one, such as 7.0 of "7"."""
    given = load_yaml(given) if isinstance(given, str) and isinstance(value, float) else given
    return given == value or str(given) == str(value)


def is_spec(path: Keys) -> bool:
    """Whether a spec stands at this path."""
    return path[-1:] == (SPEC,) or path[-2:-1] == (OVERRIDES,)


def _in_spec(path: Keys) -> bool:
    return any(is_spec(path[:end]) for end in range(1, len(path) + 1))


def _is_of_spec(key: str) -> bool:
    *above, last = key.split(".")
    return SPEC in above or last == SPEC or OVERRIDES in above


def _rank(key: str) -> float:
    """The order of options: within specs, what would drop others comes before them."""
    if not _is_of_spec(key):
        return 0
    parts = key.split(".")
    return len(parts) - (0.5 if parts[-1] in _CHOICES else 0)


def _layer(key: str, text: str) -> dict[str, Any]:
    """An option as the mapping that a file would hold."""
    *above, last = key.split(".")
    layer = _value(text, _is_of_spec(key))
    if last.endswith("+"):
        last = last.removesuffix("+")
        layer = {_APPENDED: {"class_path": layer} if isinstance(layer, str) else layer}
    for part in (last, *reversed(above)):
        layer = {part: layer}
    return layer


def _value(text: str, in_spec: bool) -> Any:
    """Read an option's value: its type is the parser's to say, except within a spec."""
    try:
        value = load_yaml(text)
    except yaml.YAMLError:
        return text
    if value in (None, "") and text.strip().lower() not in _EMPTY:
        return text  # such as >, #1 or &x, which to YAML are marks with nothing behind them
    return value if in_spec or value is None or isinstance(value, dict | list) else text
