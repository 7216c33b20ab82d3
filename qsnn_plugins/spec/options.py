"""Options of a spec's parts: which are read, what they may be, and their defaults.

A part lists its options in one table. An option that is not given is None and gets its default
where it is read; one that is given and not read is refused by name.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec.checks import choice

__all__ = [
    "ABOVE_ZERO",
    "NOT_GIVEN",
    "Kind",
    "Option",
    "Options",
    "did_you_mean",
    "from_mapping",
    "resolve_kind",
    "resolve_options",
    "to_plain",
]

# Any, so that a field has the type with which it is read
NOT_GIVEN: Any = None


class _AboveZero(tuple[()]):
    def __contains__(self, value: object) -> bool:
        return bool(value)


ABOVE_ZERO = _AboveZero()  # in `Option.where`: any value but 0 and None


@dataclass(frozen=True)
class Option:
    """One option of a part.

    Args:
        check: Takes the option's full name and a value, returns the value that is kept.
        default: What it is where it is not given.
        released: What it is instead where the part's fidelity is "released"; None for `default`.
        where: Values of other options of the part, listed before it, with which it is read; None
            among them stands for an option that is itself not read.
        is_argument: Whether it is an argument of the module that carries out a weight's kind.
    """

    check: Callable[[str, Any], Any]
    default: Any = None
    released: Any = None
    where: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    is_argument: bool = True

    def default_for(self, spec: Any) -> Any:
        """Return the default under the fidelity of a spec."""
        is_released = getattr(spec, "fidelity", None) == "released" and self.released is not None
        return self.released if is_released else self.default


Options = Mapping[str, Option]


@dataclass(frozen=True)
class Kind:
    """One kind of a part: the module that carries it out, and the options that it reads.

    Args:
        class_path: Import path of the module; "" where the user's own class says it.
        options: What it reads.
    """

    class_path: str
    options: Options


def resolve_kind(spec: Any, part: str, kinds: Mapping[str, Kind], default: str) -> None:
    """Check what was given of a frozen part with kinds, and set the defaults of what is read.

    Args:
        spec: The part, in its `__post_init__`.
        part: Its name, for errors.
        kinds: Its kinds.
        default: The kind where none is given, nor a class of the user's own.

    Raises:
        ArgumentError: If a value is not allowed, or was given for an option that is not read.
    """
    if spec.kind is None:
        object.__setattr__(spec, "kind", default if spec.class_path is None else "custom")
    choice(kinds)(f"{part}.kind", spec.kind)
    options = kinds[spec.kind].options
    for other in fields(spec):
        value = getattr(spec, other.name)
        if other.name not in ("kind", *options) and value is not None:
            readers = [kind for kind, row in kinds.items() if other.name in row.options]
            _refuse(f"{part}.{other.name}", value, f"kind {spec.kind!r}", readers)
    resolve_options(spec, part, options)


def resolve_options(spec: Any, part: str, options: Options) -> None:
    """Check what was given of a frozen part, and set the defaults of what it reads.

    Args:
        spec: The part, in its `__post_init__`.
        part: Its name, for errors.
        options: Its options.

    Raises:
        ArgumentError: If a value is not allowed, or was given for an option that is not read.
    """
    for name, option in options.items():
        argument, value = f"{part}.{name}", getattr(spec, name)
        unmet = [n for n, values in option.where.items() if getattr(spec, n) not in values]
        if not unmet:
            value = option.default_for(spec) if value is None else value
            object.__setattr__(spec, name, option.check(argument, value))
        elif value is not None:
            reason, readers = unmet[0], option.where[unmet[0]]
            if readers is ABOVE_ZERO:
                raise ArgumentError(argument, value, f"None without {reason}")
            _refuse(argument, value, f"{reason} {getattr(spec, reason)!r}", readers)


def _refuse(argument: str, value: Any, reason: str, readers: Iterable[Any]) -> None:
    names = [repr(reader) for reader in readers if reader is not None]
    words = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    verb = "reads it" if len(names) == 1 else "read it"
    raise ArgumentError(argument, value, f"None for {reason}; {words} {verb}")


def to_plain(spec: Any, options: Options, default_kind: str | None = None) -> dict[str, Any]:
    """Return the options of a part that differ from their defaults, as a recipe's YAML has them."""
    plain = {"kind": spec.kind} if default_kind and spec.kind != default_kind else {}
    for name, option in options.items():
        value = getattr(spec, name)
        if value is not None and value != option.default_for(spec):
            plain[name] = list(value) if isinstance(value, tuple) else copy.deepcopy(value)
    return plain


T = TypeVar("T")


def from_mapping(part: str, cls: type[T], values: Mapping[str, Any]) -> T:
    """Build a part from a mapping of its options.

    Raises:
        ArgumentError: If a key or a value is not allowed.
    """
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            allowed = f"keys among {', '.join(known)}{did_you_mean(key, known)}"
            raise ArgumentError(f"spec.{part}", key, allowed)
    return cls(**values)


def did_you_mean(word: object, known: Collection[str]) -> str:
    """Return the end of a sentence that proposes the nearest known word, if there is one.

    Example:
        >>> did_you_mean("imsn", ["imsnn", "qsnn"])
        "; did you mean 'imsnn'?"
    """
    near = difflib.get_close_matches(str(word), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
