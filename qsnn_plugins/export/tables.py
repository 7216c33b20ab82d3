"""The step of a neuron as a table: the inputs at which its spikes and states change.

The table is found by bisection over all floating-point inputs of the trained step itself, so it is
exact for any kind of membrane, reset and rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ExportError

__all__ = ["StepTable", "tabulate"]

_SPIKE_BITS = 8
_GREATEST = 2.0**40  # no charge of a network comes near
_TABLE_STATES = 16
_SLACK = 1e-6  # of a gain that float64 rounds beside a stored state
_STORED = 2**10  # 8 bits are the most that a spec has


@dataclass(frozen=True, eq=False)
class StepTable:
    """The steps of a layer's neurons, for each channel.

    Outcome k is what happens at an input x that reaches k of the `breaks`.

    Args:
        states: What may be stored, [C, states], ascending.
        breaks: The least x of each outcome but the first, [C, states, outcomes - 1]; of a wide
            table the least charge h, [C, 1, outcomes - 1].
        charge: What is left of a stored state, [C, states]; None where breaks are of x.
        gain: What x is multiplied by in h, for a wide table.
        spikes: What is sent, in whole spikes, [outcomes].
        next_state: Place of what is stored, [outcomes].
        first_state: Place of the state before the first step.
        unit: What one spike stands for, [C].
    """

    states: Tensor
    breaks: Tensor
    spikes: Tensor
    next_state: Tensor
    first_state: int
    unit: Tensor
    charge: Tensor | None = None
    gain: float = 1.0


def tabulate(name: str, neuron: Any, channels: int, dim: int, dtype: torch.dtype) -> StepTable:
    """Return the table of a neuron's steps.

    Args:
        name: Its name, for errors.
        neuron: A neuron of this package, at evaluation.
        channels: C.
        dim: Dimensions of its input at one step, [N, C, ...].
        dtype: What the network computes in.

    Raises:
        ExportError: If the neuron has no finite table.
    """
    _check(name, neuron)
    own = [*neuron.parameters(recurse=False), *neuron.buffers(recurse=False)]
    if all(tensor.numel() == 1 for tensor in own if tensor is not getattr(neuron, "mem", None)):
        one = _table(name, neuron, 1, dim, dtype)
        names = ("states", "breaks", "unit", "charge")
        each = {
            n: t.expand(channels, *t.shape[1:]) for n in names if (t := getattr(one, n)) is not None
        }
        return replace(one, **each)
    return _table(name, neuron, channels, dim, dtype)


def _table(name: str, neuron: Any, channels: int, dim: int, dtype: torch.dtype) -> StepTable:
    step = _Step(name, neuron, channels, dim, dtype)
    states = step.states()
    if states.shape[1] > _TABLE_STATES:
        return _wide(name, neuron, step, states)
    count = step.counts * states.shape[1]
    breaks = _bisect(step.ranks(states), (channels, states.shape[1]), count, dtype)
    return step.table(states, breaks)


def _check(name: str, neuron: Any) -> None:
    spec = neuron.quant_spec
    if getattr(neuron, "pruning", None) is not None:
        raise ExportError(
            f"{name} has a spatial mask, which needs sorting: train and export a network without "
            "pruning.spatial_ratio, as presets.spquant(pruned=False) is"
        )
    if spec.spike.bits > _SPIKE_BITS:
        raise ExportError(
            f"{name} sends spikes of {spec.spike.bits} bits, and its table would have a row for "
            f"each count: at most {_SPIKE_BITS} bits are exported"
        )
    if isinstance(neuron.membrane, nn.Identity) or spec.membrane.kind in ("float", "clip"):
        raise ExportError(
            f"{name} stores float membranes: quantize them, by a preset or by "
            "MembraneSpec(kind='uniform', bits=4)"
        )
    if getattr(neuron.membrane, "scale_of_steps", "given") != "given":
        raise ExportError(
            f"{name} measures the scale of its membranes at evaluation, so that it "
            "depends on the batch: give membrane.evaluation='running'"
        )


class _Step:
    """The neuron's own step on inputs [M, C] and states [M, C]."""

    def __init__(self, name: str, neuron: Any, channels: int, dim: int, dtype: torch.dtype) -> None:
        self.name, self.neuron, self.channels, self.dtype = name, neuron, channels, dtype
        self.tail = (1,) * (dim - 2)
        spike = neuron.quant_spec.spike
        self.counts = 2**spike.bits  # of what may be sent
        self.cell = neuron._cell(torch.zeros(1, channels, *self.tail, dtype=dtype))
        threshold = torch.as_tensor(self.cell.threshold, dtype=dtype).detach().flatten()
        self.threshold = threshold.expand(channels)
        ones = torch.ones(channels, dtype=dtype)
        self.unit = self.threshold if spike.value == "threshold" else ones

    def run(self, x: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return counts and what is stored, [M, C] as x and q."""
        shape = *x.shape, *self.tail
        sent, stored = self.cell.step(x.reshape(shape), q.reshape(shape))
        return (sent.reshape(x.shape) / self.unit).round().long(), stored.reshape(x.shape)

    def first(self) -> float:
        """Return what is stored before the first step."""
        return float(getattr(self.neuron, "v_reset", None) or 0.0)  # snnTorch rests at 0

    def states(self) -> Tensor:
        """Return all that may be stored, [C, states], ascending in each channel.

        Raises:
            ExportError: If the membranes are not quantized to few values.
        """
        found = {self.first(), *self._stored()}
        own = torch.tensor(sorted(found), dtype=self.dtype).repeat(self.channels, 1)
        if not self.cell._keeps_comparison:
            return own
        # a late reset stores on which side of the threshold the neuron was
        above = self.threshold * (1 + torch.finfo(self.dtype).eps)
        both = torch.stack([self.threshold, above], 1)
        return torch.cat([own, both], 1).sort(1).values

    def _stored(self) -> set[float]:
        """Return all values of the membrane's quantizer, by bisection wherever it has a step."""
        reach = torch.linspace(-1, 1, 4097, dtype=self.dtype)  # all that one which turns back needs
        inputs = torch.cat([reach * _GREATEST, reach * 4, reach]).unique()
        low, high, found = _key(inputs[:-1]), _key(inputs[1:]), set()
        while low.numel():
            left, right = (self._store(_number(end, self.dtype)) for end in (low, high))
            found |= {*left.tolist(), *right.tolist()}
            if len(found) > _STORED:
                raise ExportError(
                    f"{self.name} stores more than {_STORED} values: quantize its membranes"
                )
            is_step = (left != right) & (high - low > 1)
            low, high = low[is_step], high[is_step]
            middle = _middle(low, high)
            low, high = torch.cat([low, middle]), torch.cat([middle, high])
        return found

    def _store(self, u: Tensor) -> Tensor:
        stored: Tensor = self.neuron.membrane(u.unsqueeze(0))  # a batch of one sample
        return stored.flatten()

    def rank(self, x: Tensor, q: Tensor, states: Tensor) -> Tensor:
        """Return the place of an outcome among all, [M, C]: by spikes, then by what is stored."""
        counts, stored = self.run(x, q)
        place = torch.searchsorted(states.contiguous(), stored.T.contiguous()).T.clamp(
            max=states.shape[1] - 1
        )
        known = states.gather(1, place.T).T
        if not torch.equal(known, stored):
            raise ExportError(
                f"{self.name} stores values that its quantizer, called alone, does not give"
            )
        return counts * states.shape[1] + place

    def ranks(self, states: Tensor) -> Callable[[Tensor], Tensor]:
        """Return a function from x [C, states, K] to ranks."""

        def of(x: Tensor) -> Tensor:
            q = states.unsqueeze(-1).expand(x.shape)
            flat = self.rank(x.flatten(1).T.contiguous(), q.flatten(1).T.contiguous(), states)
            return flat.T.reshape(x.shape)

        return of

    def table(self, states: Tensor, breaks: Tensor, **wide: Any) -> StepTable:
        """Return the table; outcomes are ranks."""
        ranks = torch.arange(self.counts * states.shape[1])
        first = torch.full((self.channels, 1), self.first(), dtype=self.dtype)
        place = torch.searchsorted(states, first).flatten()
        if place.unique().numel() > 1:
            raise ExportError(
                f"{self.name} has thresholds on both sides of the state before the first step"
            )
        return StepTable(
            states=states.double(),
            breaks=breaks,
            spikes=ranks // states.shape[1],
            next_state=ranks % states.shape[1],
            first_state=int(place[0]),
            unit=self.unit.double(),
            **wide,
        )


def _wide(name: str, neuron: Any, step: _Step, states: Tensor) -> StepTable:
    """Breaks of the charge, in float64: nothing of a table of charges depends on the state."""
    doubled = copy.deepcopy(neuron).double()
    exact = _Step(name, doubled, step.channels, len(step.tail) + 2, torch.float64)
    own = states.double()
    rest = own[:, :1].T * 0 + exact.first()
    zero = torch.zeros(1, exact.channels, dtype=torch.float64)

    def charge(x: Tensor, q: Tensor) -> Tensor:
        shape = *x.shape, *exact.tail
        return exact.cell._charge(x.reshape(shape), q.reshape(shape)).reshape(x.shape)

    gain = charge(zero + 1, rest) - charge(zero, rest)
    if gain.unique().numel() > 1:
        raise ExportError(f"{name} has an input gain per channel, which wide membranes have not")
    left = charge(zero, rest)
    places = exact.states()

    def ranks(h: Tensor) -> Tensor:
        x = (h[:, 0].T - left) / gain
        return exact.rank(x, rest.expand(x.shape), places).T.unsqueeze(1)

    count = exact.counts * places.shape[1]
    breaks = _bisect(ranks, (exact.channels, 1), count, torch.float64)
    rows = places.T.contiguous()  # [states, C]
    each = charge(zero.expand(rows.shape), rows)
    steeper = charge(zero.expand(rows.shape) + 1, rows) - each
    if not torch.allclose(steeper, gain.expand(rows.shape), rtol=_SLACK, atol=0.0):
        raise ExportError(
            f"{name} discards its input after a spike (Lapicque's late reset to zero), which has a "
            f"form in integers for membranes of up to {_TABLE_STATES} values: "
            "give them fewer bits, or reset_mechanism='subtract'"
        )
    table = exact.table(places, breaks, charge=each.T, gain=float(gain[0, 0]))
    return replace(table, states=own) if own.shape == places.shape else table


def _bisect(
    ranks: Callable[[Tensor], Tensor], shape: tuple[int, int], count: int, dtype: torch.dtype
) -> Tensor:
    """Return the least number at which the rank is k, for k = 1 .. count - 1, or infinity."""
    wanted = torch.arange(1, count).expand(*shape, -1)
    ends = torch.tensor([-_GREATEST, _GREATEST], dtype=dtype)
    low, high = (_key(end).expand(wanted.shape).clone() for end in ends)
    at_low = ranks(_number(low, dtype)) >= wanted
    at_high = ranks(_number(high, dtype)) >= wanted
    for _ in range(torch.finfo(dtype).bits + 1):
        middle = _middle(low, high)
        reached = ranks(_number(middle, dtype)) >= wanted
        high = torch.where(reached, middle, high)
        low = torch.where(reached, low, middle)
    found = _number(high, dtype)
    found = torch.where(at_high, found, torch.inf)
    return torch.where(at_low, -torch.inf, found)


def _middle(low: Tensor, high: Tensor) -> Tensor:
    return (low >> 1) + (high >> 1) + (low & high & 1)  # their sum may be too large


def _key(x: Tensor) -> Tensor:
    """Integers in the order of floating-point numbers, neighbours side by side."""
    whole = x.contiguous().view(torch.int64 if x.dtype == torch.float64 else torch.int32).long()
    least = torch.iinfo(torch.int64 if x.dtype == torch.float64 else torch.int32).min
    return torch.where(whole < 0, least - whole, whole)


def _number(key: Tensor, dtype: torch.dtype) -> Tensor:
    kind = torch.int64 if dtype == torch.float64 else torch.int32
    whole = torch.where(key < 0, torch.iinfo(kind).min - key, key)
    return whole.to(kind).view(dtype)
