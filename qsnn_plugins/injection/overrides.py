"""The spec of each layer of a network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import Any

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec import QuantSpec

__all__ = ["LayerSpecs"]

_WILDCARD = re.compile(r"\*|\?|\[[^]]*\]")


class LayerSpecs:
    """The spec of each module of a network: one for all, and overrides by glob patterns.

    Patterns are compared with full module names as in `fnmatch`, case-sensitively; `*` also matches
    dots. A pattern covers the modules that it matches and all their submodules: `"layer1"` covers
    layer1 and everything in it, `"layer1.*"` only what is in it, `"*.conv1"` each conv1 that is not
    at the top level. The name "" is that of the network itself, and covers its own matrices alone.
    If several patterns cover a module, the most specific one counts: the one with the most
    characters that are not wildcards, and among equals the one with the fewest wildcards.

    Args:
        spec: A `QuantSpec`, or what `presets.resolve` makes one of.
        overrides: The same for each pattern; None leaves the modules that it covers alone.

    Raises:
        ArgumentError: If a value is not a spec.

    Example:
        >>> specs = LayerSpecs("imsnn", {"layer1": "qsnn", "layer1.0.*": None})
        >>> specs.of("layer1.1.conv1") == presets.qsnn(), specs.of("layer1.0.conv1")
        (True, None)
    """

    def __init__(self, spec: Any, overrides: Mapping[str, Any] | None = None) -> None:
        if not isinstance(overrides, Mapping | None):
            allowed = "a mapping from patterns of module names to specs"
            raise ArgumentError("overrides", overrides, allowed)
        for pattern in overrides or {}:
            if not isinstance(pattern, str):
                raise ArgumentError("overrides", pattern, "patterns that are strings")
        self.spec = _resolve("spec", spec)
        self.overrides = {
            pattern: None if value is None else _resolve(f"overrides[{pattern!r}]", value)
            for pattern, value in (overrides or {}).items()
        }

    def of(self, name: str) -> QuantSpec | None:
        """Return the spec of the module with a full name; None leaves it alone.

        Raises:
            ArgumentError: If the two most specific patterns are equally specific and differ.
        """
        patterns = [pattern for pattern in self.overrides if _covers(pattern, name)]
        if not patterns:
            return self.spec
        best = max(map(_specificity, patterns))
        first, *others = (pattern for pattern in patterns if _specificity(pattern) == best)
        for other in others:
            if self.overrides[other] != self.overrides[first]:
                allowed = f"patterns of which one is more specific: both cover {name}"
                raise ArgumentError("overrides", [first, other], allowed)
        return self.overrides[first]

    def shared(self, names: Iterable[str]) -> QuantSpec | None:
        """Return the spec of one module that has several names.

        Raises:
            ArgumentError: If its names have different specs.
        """
        first, *others = names
        for other in others:
            if self.of(other) != self.of(first):
                allowed = "patterns that cover both or neither: they are one module"
                raise ArgumentError("overrides", [first, other], allowed)
        return self.of(first)

    def check(self, names: Iterable[str]) -> None:
        """Check the patterns against the full names of all modules that they may cover.

        Raises:
            ArgumentError: If a pattern covers none of them, or two that differ are equally specific
                for one.
        """
        names = list(names)
        for name in names:
            self.of(name)
        for pattern in self.overrides:
            if not any(_covers(pattern, name) for name in names):
                known = dict.fromkeys(part for name in filter(None, names) for part in _path(name))
                near = get_close_matches(pattern, known, n=3, cutoff=0.4) or list(known)[:3]
                allowed = "a pattern that covers a neuron or a weight matrix"
                raise ArgumentError(
                    "overrides",
                    pattern,
                    f"{allowed}, such as {', '.join(near)}" if near else allowed,
                )


def _resolve(argument: str, value: Any) -> QuantSpec:
    try:
        return presets.resolve(value)
    except ArgumentError as error:
        if error.argument not in ("spec", "preset"):
            argument = f"{argument}: {error.argument}"
        raise ArgumentError(argument, error.value, error.allowed) from error


def _path(name: str) -> list[str]:
    """A module's name behind those of all modules that it is in: a, a.b, a.b.c."""
    return list(accumulate(name.split("."), lambda path, key: f"{path}.{key}"))


def _covers(pattern: str, name: str) -> bool:
    return any(fnmatchcase(part, pattern) for part in _path(name))


def _specificity(pattern: str) -> tuple[int, int]:
    literal, wildcards = _WILDCARD.subn("", pattern)
    return len(literal), -wildcards
