"""Layers of neurons, and the fixed point that some of them take."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.bounds import integer_bounds, trimmed
from qsnn_plugins.export.builder import Builder, Charge
from qsnn_plugins.export.nodes import Neuron, Node, Rescale, WideNeuron
from qsnn_plugins.export.signs import rising
from qsnn_plugins.export.tables import StepTable, tabulate
from qsnn_plugins.export.values import Term, Value, same, sample_shape, whole

__all__ = ["neuron"]

_WORD = 30  # bits of a fixed-point number, which leave room for a sum of two
_MULTIPLIER = 31
_STATES = 2**8  # a state is a byte


def neuron(builder: Builder, name: str, module: Any, value: Value, leading: int) -> Value:
    """Add a layer of neurons; its value has `leading` dimensions of batch and time."""
    shape = tuple(value.bias.shape[leading:])
    key = ("neuron", name)
    if key not in builder.known:
        table = tabulate(name, module, shape[0], len(shape) + 1, builder.dtype)
        factor = getattr(module, "graded_spikes_factor", None)
        spike = table.unit if factor is None else table.unit * factor.detach().double()
        builder.inputs[name] = value
        node = _neuron(builder, name, table, value, shape, spike)
        builder.add(key, lambda: node)
    elif not same(value, builder.inputs[name]):
        raise ExportError(
            f"{name} has a different input when it runs again: what is fed back between steps, "
            "layers that change from step to step, and a neuron in two places have no form in "
            "integers; steps come first, as in [T, N, ...]"
        )
    spike = builder.charges[name].spike.reshape(-1, *(1,) * (len(shape) - 1))
    scale = spike.expand(value.bias.shape)
    return whole(builder.known[key], scale, torch.zeros_like(value.bias))


def _neuron(
    builder: Builder,
    name: str,
    table: StepTable,
    value: Value,
    shape: tuple[int, ...],
    spike: Tensor,
) -> Node:
    terms = builder.merged(value)
    rounding = 0.0
    if len(terms) > 1 or table.charge is not None:
        place, fraction = _rescaled(builder, name, terms, value.bias, table)
        scale = torch.full((math.prod(shape),), 2.0**-fraction, dtype=torch.float64)
        bias = torch.zeros_like(scale)
        rounding = 2 * 2.0**-fraction / table.gain
    else:
        term = rising(builder, terms[0])
        place = builder.placed(term, shape)
        scale, bias = term.scale.flatten(), value.bias.flatten()
    builder.charges[name] = Charge(scale / table.gain, bias, spike, rounding)
    source = builder.nodes[place]
    low, high = source.low, source.high
    channels = len(table.breaks)
    scale, bias, channel = _groups(scale, bias, table, channels)
    wide = table.charge is not None
    if wide:
        unit = float(scale[0])
        charge = (table.charge[channel] / unit).round().to(torch.int64)  # type: ignore[index]
        low, high = low + int(charge.min()), high + int(charge.max())
    dtype = torch.float64 if wide else builder.dtype
    bounds = integer_bounds(table.breaks[channel], scale, bias, low, high, dtype)
    bounds, table, kept = trimmed(bounds, table, low, high)
    if len(kept) > _STATES:
        raise ExportError(
            f"{name} stores {len(kept)} values, of which {_STATES} fit in a byte: give its "
            "membranes fewer bits, or a reset in the same step (reset_delay=False), since the "
            "delayed one stores two more"
        )
    states = table.states if len(table.states.unique(dim=0)) > 1 else table.states[:1]
    how: dict[str, Any] = {
        "name": name, "inputs": (place,), "shape": shape, "low": 0,
        "high": int(table.spikes.max()), "spikes": table.spikes.to(torch.uint8),
        "next_state": table.next_state.to(torch.uint8), "first_state": table.first_state,
        "states": states, "bits": max(1, math.ceil(math.log2(states.shape[1]))),
    }  # fmt: skip
    if wide:
        return WideNeuron(
            **how, charge=charge[:, kept].to(torch.int32), bounds=bounds[:, 0].to(torch.int32)
        )
    return Neuron(**how, bounds=bounds.to(torch.int32))


def _rescaled(
    builder: Builder, name: str, terms: tuple[Term, ...], bias: Tensor, table: StepTable
) -> tuple[int, int]:
    """Add the sum of several terms in fixed point; return its node and fraction."""
    shape = tuple(bias.shape)
    places = tuple(builder.placed(term, shape) for term in terms)
    sources = [builder.nodes[place] for place in places]
    scales = torch.stack([term.scale.flatten() for term in terms]) * table.gain
    constant = bias.flatten() * table.gain
    reach = [max(abs(source.low), abs(source.high)) for source in sources]
    greatest = float(
        (scales.abs() * torch.tensor(reach, dtype=torch.float64).unsqueeze(1)).sum(0).max()
        + constant.abs().max()
    )
    if table.charge is not None:  # which are in the same unit
        greatest = max(greatest, float(table.charge.abs().max()))
    fraction = _WORD - max(0, math.ceil(math.log2(max(greatest, 1.0)))) - 1
    most = max(float(scales.abs().max()), 2.0**-_WORD)
    shift = max(0, _MULTIPLIER - 1 - math.ceil(math.log2(most)) - fraction)
    multipliers = (scales * 2.0 ** (fraction + shift)).round().to(torch.int64)
    offset = (constant * 2.0**fraction).round().to(torch.int64)
    columns = torch.cat([multipliers, offset.unsqueeze(0)])
    multipliers, offset = columns[:-1], columns[-1]
    each = _fewest(columns, sample_shape(shape)[0])
    bound = math.ceil(greatest * 2.0**fraction) + len(terms)
    return (
        builder.add(
            ("rescale", places, name),
            lambda: Rescale(
                f"{name}.input",
                places,
                sources[0].shape,
                -bound,
                bound,
                multipliers[:, each].to(torch.int32),
                offset[each].to(torch.int32),
                shift,
                fraction,
            ),
        ),
        fraction,
    )


def _groups(
    scale: Tensor, bias: Tensor, table: StepTable, channels: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Scales and constants of as few groups of places as there are, and each group's channel."""
    places = torch.arange(len(scale)) * channels // len(scale)
    alike = bool((table.breaks == table.breaks[:1]).all())
    if alike and table.charge is not None:
        alike = bool((table.charge == table.charge[:1]).all())
    if alike and bool((scale == scale[0]).all() and (bias == bias[0]).all()):
        return scale[:1], bias[:1], places[:1]
    rows = scale.reshape(channels, -1), bias.reshape(channels, -1)
    if all(bool((row == row[:, :1]).all()) for row in rows):
        return rows[0][:, 0], rows[1][:, 0], torch.arange(channels)
    return scale, bias, places


def _fewest(columns: Tensor, channels: int) -> Tensor:
    """Places of one column for all, one per channel, or all."""
    if bool((columns == columns[:, :1]).all()):
        return torch.tensor([0])
    if columns.shape[1] % channels == 0:
        rows = columns.reshape(len(columns), channels, -1)
        if bool((rows == rows[..., :1]).all()):
            return torch.arange(channels) * rows.shape[-1]
    return torch.arange(columns.shape[1])
