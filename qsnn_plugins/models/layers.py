"""Parsing of the layer strings with which the papers describe networks."""

from __future__ import annotations

import re
from typing import NamedTuple

from qsnn_plugins.errors import ArgumentError

__all__ = ["Token", "parse_layers"]

_TOKENS = {
    "conv": re.compile(r"(?P<channels>\d+)C(?P<size>\d+)(?:P(?P<padding>\d+))?"),
    "depthwise": re.compile(r"(?P<channels>\d+)DW"),
    "average_pool": re.compile(r"AP(?P<size>\d+)"),
    "max_pool": re.compile(r"MP(?P<size>\d+)"),
    "global_pool": re.compile(r"GAP"),
    "linear": re.compile(r"FC(?P<channels>\d+)"),
    "grid": re.compile(r"GRID(?P<channels>\d+)"),
}
_KNOWN = "nCk, nCkPp, nDW, APk, MPk, GAP, FCn or GRIDn, with n, k and p above 0"
_TIMES_AFTER = re.compile(r"[x×](\d+)$")
_TIMES_BEFORE = re.compile(r"(\d+)[x×]\(")
_MOST = 1000
_DIGITS = 9


class Token(NamedTuple):
    """One layer of a network's string."""

    kind: str
    text: str
    channels: int = 0
    size: int = 0
    padding: int | None = None


def parse_layers(layers: str) -> list[Token]:
    """Parse the layer string of a network, such as "64C3-AP2-GAP-FC10".

    A layer or a group in parentheses may be repeated, in the notations of the papers: "512C3x4",
    "512C3×4", "(128C3-MP2)x5" and "5x(128C3-MP2)".

    Args:
        layers: Tokens joined by "-": nCk (k x k convolution to n channels), nCkPp (the same with p
            pixels of padding), nDW (3 x 3 depthwise and 1 x 1 pointwise convolution), APk and MPk
            (average and maximum pooling), GAP (global average pooling), FCn (linear layer). After a
            linear layer, APk is voting: the average of k outputs. GRIDn, only at the end, is the
            head of a detector: a 1 x 1 convolution to n numbers per grid cell, cells row by row.

    Returns:
        The tokens in order, with repetitions expanded.

    Raises:
        ArgumentError: If a token is unknown, a parenthesis is not closed or a repetition is not
            allowed; the error names it and its position.

    Example:
        >>> [token.kind for token in parse_layers("8C3-AP2-FC10")]
        ['conv', 'average_pool', 'linear']
        >>> [token.text for token in parse_layers("2x(8C3-MP2)-FC16x2")]
        ['8C3', 'MP2', '8C3', 'MP2', 'FC16', 'FC16']
        >>> parse_layers("8C3-BP2-FC10")
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: layers, token 2 (at character 5)='BP2' is not allowed: \
give nCk, nCkPp, nDW, APk, MPk, GAP, FCn or GRIDn, with n, k and p above 0
    """
    if not isinstance(layers, str):
        raise ArgumentError("layers", layers, 'a string such as "8C3-AP2-FC10"')
    return _Reader().read(layers, 1)


class _Reader:
    """Counts tokens and characters while a string is read."""

    def __init__(self) -> None:
        self.number = 0

    def read(self, layers: str, start: int) -> list[Token]:
        """Read a string, or a group's inside, that begins at a character of the whole."""
        tokens: list[Token] = []
        for text, character in _split(layers, start):
            group = _TIMES_BEFORE.match(text)
            if group or text.startswith("("):
                tokens += self._group(text, character, group)
            else:
                tokens += self._layer(text, character)
            if len(tokens) > _MOST:
                raise ArgumentError("layers", text, f"at most {_MOST} layers in all")
        return tokens

    def _group(self, text: str, character: int, before: re.Match[str] | None) -> list[Token]:
        where = f"layers, group (at character {character})"
        after = _TIMES_AFTER.search(text) if text[-1] != ")" else None
        if before and after:
            raise ArgumentError(where, text, "one number of repetitions: nx(...) or (...)xn")
        inside = text[before.end() - 1 if before else 0 : after.start() if after else None]
        if not inside.endswith(")"):
            raise ArgumentError(where, text, '(...), (...)xn or nx(...), joined by "-"')
        times = before or after
        opened = before.end() if before else 1
        tokens = self.read(inside[1:-1], character + opened)
        return tokens * (_count(times.group(1), text, where) if times else 1)

    def _layer(self, text: str, character: int) -> list[Token]:
        self.number += 1
        where = f"layers, token {self.number} (at character {character})"
        after = _TIMES_AFTER.search(text)
        single = text[: after.start()] if after else text
        for kind, pattern in _TOKENS.items():
            match = pattern.fullmatch(single)
            groups = match.groupdict() if match else {}
            if any(len(digits or "") > _DIGITS for digits in groups.values()):
                raise ArgumentError(where, text, f"numbers of {_DIGITS} digits at most")
            values = {k: int(v) for k, v in groups.items() if v is not None}
            if match and all(values.values()):
                times = _count(after.group(1), text, where) if after else 1
                return [Token(kind, single, **values)] * times
        raise ArgumentError(where, text, _KNOWN)


def _count(digits: str, text: str, where: str) -> int:
    if len(digits) > 3 or int(digits) == 0:
        raise ArgumentError(where, text, "from 1 to 999 repetitions")
    return int(digits)


def _split(layers: str, start: int) -> list[tuple[str, int]]:
    """Split at each "-" outside parentheses, into parts and the characters they begin at."""
    parts: list[tuple[str, int]] = []
    opened: list[int] = []
    begin = 0
    for i, letter in enumerate(layers):
        if letter == "(":
            opened.append(i)
        elif letter == ")":
            if not opened:
                raise ArgumentError(f"layers, character {start + i}", ")", 'a "(" before it')
            opened.pop()
        elif letter == "-" and not opened:
            parts.append((layers[begin:i], start + begin))
            begin = i + 1
    if opened:
        raise ArgumentError(f"layers, character {start + opened[-1]}", "(", 'a ")" after it')
    return [*parts, (layers[begin:], start + begin)]
