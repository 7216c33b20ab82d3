"""Options of the parts of a spec: which of them are used, their allowed values and defaults."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from qsnn_plugins.errors import ArgumentError, UnknownOptionError
from qsnn_plugins.spec.checks import Check, choice

__all__ = [
    "NOT_GIVEN",
    "Kind",
    "KindPart",
    "Option",
    "Options",
    "Part",
    "check_keys",
    "did_you_mean",
]

# Any, so that a field has the type with which it is read
NOT_GIVEN: Any = None


@dataclass(frozen=True)
class Option:
    """One option of a part.

    Args:
        check: Takes the full name of the option and a value, and returns the value to keep.
        default: Its value if it is not given.
        released: Its default if the fidelity of the part is "released"; None for `default`.
        where: Values of other options, listed before it, with which it is used; None stands for an
            option that is itself not used.
        needs: Another option that has to be given, and not 0, for this one to be used.
        is_argument: Whether it is an argument of the module that implements a kind of weight.
        is_forward: Whether it changes the result of a forward, and not only gradients or training.
    """

    check: Check
    default: Any = None
    released: Any = None
    where: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    needs: str = ""
    is_argument: bool = True
    is_forward: bool = True

    def default_for(self, spec: Any) -> Any:
        """Return the default under the fidelity of a spec."""
        is_released = getattr(spec, "fidelity", None) == "released" and self.released is not None
        return self.released if is_released else self.default


Options = Mapping[str, Option]


# jsonargparse takes a class for a dataclass only where its bases are dataclasses too
@dataclass(frozen=True)
class Part:
    """A part of a spec: each field is an option.

    An option that is not given is None and gets its default if it is used. An option that is given
    but not used is refused by name.
    """

    _part: ClassVar[str]
    _options: ClassVar[Options]

    def __post_init__(self) -> None:
        for name, option in self._table().items():
            argument, value = f"{self._part}.{name}", getattr(self, name)
            allowed = self._why_unread(option)
            if not allowed:
                value = option.default_for(self) if value is None else value
                object.__setattr__(self, name, option.check(argument, value))
            elif value is not None:
                raise ArgumentError(argument, value, allowed)

    def _table(self) -> Options:
        return self._options

    def _why_unread(self, option: Option) -> str:
        """The end of an error where an option is not read; nothing where it is."""
        if option.needs and not getattr(self, option.needs):
            return f"None without {option.needs}"
        for other, values in option.where.items():
            if getattr(self, other) not in values:
                return _none_for(f"{other} {getattr(self, other)!r}", values)
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Return what differs from the defaults, as plain values."""
        return {
            name: _plain(value)
            for name, option in self._table().items()
            if (value := getattr(self, name)) is not None and value != option.default_for(self)
        }

    def reads(self, name: str, changes: Mapping[str, Any]) -> bool:
        """Whether an option is read after some changes."""
        option, probe = self._table().get(name), copy.copy(self)
        for changed in self._table().keys() & changes.keys():
            object.__setattr__(probe, changed, changes[changed])
        return option is not None and not probe._why_unread(option)

    def changed(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return `to_dict` with changes, without what is no longer read and not among them."""
        kept, probe = self.to_dict(), copy.copy(self)
        # in the table's order: what decides whether an option is read stands before it
        for name, option in self._table().items():
            is_unread = bool(probe._why_unread(option))
            if is_unread:
                kept.pop(name, None)
            value = None if is_unread else changes.get(name, kept.get(name))
            if value is None and not is_unread:
                value = option.default_for(probe)
            object.__setattr__(probe, name, value)
        return {**kept, **changes}

    def forward_options(self) -> dict[str, Any]:
        """Return what is read and changes what is computed, as plain values."""
        return {
            name: _plain(getattr(self, name))
            for name, option in self._table().items()
            if option.is_forward and not self._why_unread(option)
        }


@dataclass(frozen=True)
class Kind:
    """One kind of a part: the module that implements it, and the options that it uses.

    Args:
        class_path: Import path of the module; "" for a class of the user.
        options: The options that it uses.
    """

    class_path: str
    options: Options


@dataclass(frozen=True)
class KindPart(Part):
    """A part whose kind decides which options are used; "custom" is a class of the user."""

    _kinds: ClassVar[Mapping[str, Kind]]
    _default_kind: ClassVar[str]

    kind: str = NOT_GIVEN
    class_path: str = field(default=NOT_GIVEN, kw_only=True)
    init_args: dict[str, Any] = field(default=NOT_GIVEN, kw_only=True, hash=False)

    def __post_init__(self) -> None:
        if self.kind is None:
            kind = self._default_kind if self.class_path is None else "custom"
            object.__setattr__(self, "kind", kind)
        choice(self._kinds)(f"{self._part}.kind", self.kind)
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if value is not None and name not in ("kind", *self._table()):
                readers = [kind for kind, row in self._kinds.items() if name in row.options]
                allowed = _none_for(f"kind {self.kind!r}", readers)
                raise ArgumentError(f"{self._part}.{name}", value, allowed)
        super().__post_init__()

    def _table(self) -> Options:
        return self._kinds[self.kind].options

    @property
    def module_path(self) -> str:
        """Import path of the module that carries it out."""
        return self.class_path if self.kind == "custom" else self._kinds[self.kind].class_path

    def to_dict(self) -> dict[str, Any]:
        """Return what differs from the defaults, as plain values."""
        kind = {"kind": self.kind} if self.kind != self._default_kind else {}
        return {**kind, **super().to_dict()}

    def forward_options(self) -> dict[str, Any]:
        """Return what is read and changes what is computed, as plain values."""
        return {"kind": self.kind, **super().forward_options()}

    def _call(self) -> str:
        """The call that builds a module of the user's own."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.init_args.items())
        return f"{self.class_path}({arguments})"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else copy.deepcopy(value)


def _none_for(reason: str, readers: Iterable[Any]) -> str:
    names = [repr(reader) for reader in readers if reader is not None]
    words = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"None for {reason}; {words} {'reads' if len(names) == 1 else 'read'} it"


def check_keys(argument: str, keys: Iterable[str], known: Collection[str]) -> None:
    """Raise an error that names a key which is not known."""
    for key in keys:
        if key not in known:
            hint = did_you_mean(key, known)
            raise UnknownOptionError(argument, key, f"{', '.join(known)}{hint}")


def did_you_mean(word: object, known: Collection[str]) -> str:
    """Return the end of a sentence that proposes the nearest known word, if there is one.

    Example:
        >>> did_you_mean("imsn", ["imsnn", "qsnn"])
        "; did you mean 'imsnn'?"
    """
    near = difflib.get_close_matches(str(word), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
