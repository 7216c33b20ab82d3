"""The report of an injection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

__all__ = [
    "FloatParameter",
    "GatedLayer",
    "InjectionReport",
    "LeftNeuron",
    "LimitedSum",
    "QuantizedWeight",
    "ReplacedNeuron",
]


@dataclass(frozen=True)
class ReplacedNeuron:
    """A neuron that was replaced; a shared one has several names.

    Args:
        names: Its full names in the network.
        before: Class of the host's neuron.
        after: Class of the neuron that replaces it.
        bits: Bits of a stored membrane.
        note: What else changed.
    """

    names: tuple[str, ...]
    before: str
    after: str
    bits: int = 32
    note: str = ""


@dataclass(frozen=True)
class LeftNeuron:
    """A neuron that was left alone.

    Args:
        names: Its full names in the network.
        kind: Its class.
        why: The reason.
        bits: Bits of a stored membrane.
        asked: Whether the caller asked for this, with an override or `filter_fn`.
    """

    names: tuple[str, ...]
    kind: str
    why: str
    bits: int = 32
    asked: bool = False


@dataclass(frozen=True)
class QuantizedWeight:
    """A layer whose weight was quantized.

    Args:
        name: Its full name in the network.
        kind: Its class.
        bits: Bits of a weight.
        note: How it is quantized, and other remarks.
    """

    name: str
    kind: str
    bits: int
    note: str = ""


@dataclass(frozen=True)
class FloatParameter:
    """A parameter of two or more dimensions that stays float.

    Args:
        names: Its full names in the network.
        kind: Class of the module that holds it.
        count: How many weights it has.
        bits: Bits of a weight.
        why: The reason.
        asked: Whether the caller asked for this, with an override, `filter_fn` or the spec.
    """

    names: tuple[str, ...]
    kind: str
    count: int
    bits: int
    why: str
    asked: bool = False


@dataclass(frozen=True)
class LimitedSum:
    """A module whose sums of spikes are limited to the bits of a spike.

    Args:
        names: Its full names in the network.
        kind: Its class.
        bits: Bits of a sum.
        what: The sums that are limited: its "output" or its "attention matrix".
    """

    names: tuple[str, ...]
    kind: str
    bits: int
    what: str


@dataclass(frozen=True)
class GatedLayer:
    """A layer whose output channels are gated, or could not be; see `nn.ChannelGate`.

    Args:
        name: Its full name in the network.
        kind: Its class.
        source: Input of the gate: the name of a neuron, or the input of the layer; "" without a
            gate.
        note: Why it has no gate, or other remarks.
    """

    name: str
    kind: str
    source: str = ""
    note: str = ""


@dataclass(frozen=True)
class InjectionReport:
    """What an injection did; a table when it is printed.

    Args:
        replaced: Neurons that were replaced.
        left: Neurons that were left alone.
        weights: Layers whose weights were quantized.
        floats: Matrix parameters that stay float.
        limited: Modules whose sums of spikes are limited by `spike.limit_sums`.
        gates: Layers that feed neurons with channel gates in their specs, gated or not.
        notes: Options of the spec that could not be used for any layer as given, and neurons in
            plain lists and other attributes, which torch does not see.

    Example:
        >>> report = InjectionReport(
        ...     (ReplacedNeuron(("0.sn",), "LIFNode", "QuantLIFNode", 2),),
        ...     weights=(QuantizedWeight("0.conv", "Conv2d", 4, "uniform"),),
        ... )
        >>> print(report)
                  name    module                   bits
        replaced  0.sn    LIFNode -> QuantLIFNode     2
        weight    0.conv  Conv2d                      4  uniform
        >>> report.to_dict()["weights"]
        [{'name': '0.conv', 'kind': 'Conv2d', 'bits': 4, 'note': 'uniform'}]
    """

    replaced: tuple[ReplacedNeuron, ...] = ()
    left: tuple[LeftNeuron, ...] = ()
    weights: tuple[QuantizedWeight, ...] = ()
    floats: tuple[FloatParameter, ...] = ()
    limited: tuple[LimitedSum, ...] = ()
    gates: tuple[GatedLayer, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the report as lists of plain values."""
        return {part: list(rows) for part, rows in asdict(self).items()}

    def __str__(self) -> str:
        """Return the table, with one neuron, layer or parameter per line."""
        rows = [("", "name", "module", "bits", ""), *self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            f"{did:<{widths[0]}}  {name:<{widths[1]}}  {kind:<{widths[2]}}  "
            f"{bits:>{widths[3]}}  {note}".rstrip()
            for did, name, kind, bits, note in rows
        )

    def _rows(self) -> Iterator[tuple[str, str, str, str, str]]:
        for r in self.replaced:
            yield "replaced", ", ".join(r.names), f"{r.before} -> {r.after}", str(r.bits), r.note
        for n in self.left:
            yield "left", ", ".join(n.names), n.kind, str(n.bits), n.why
        for w in self.weights:
            yield "weight", w.name, w.kind, str(w.bits), w.note
        for p in self.floats:
            yield "float", ", ".join(p.names), p.kind, str(p.bits), f"{p.count:,} weights: {p.why}"
        for s in self.limited:
            yield "limited", ", ".join(s.names), s.kind, str(s.bits), s.what
        for g in self.gates:
            words = f"by {g.source}" * bool(g.source), g.note
            yield (
                "gated" if g.source else "open",
                g.name,
                g.kind,
                "",
                ": ".join(filter(None, words)),
            )
        for note in self.notes:
            yield "note", "", "", "", note
