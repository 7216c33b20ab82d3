"""The costs as a table."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from qsnn_plugins.cost.conventions import MemoryConvention, memory_convention
from qsnn_plugins.cost.energy import EnergyTable, energy_table
from qsnn_plugins.cost.layers import NeuronCost, SynapseCost

if TYPE_CHECKING:
    from qsnn_plugins.cost.network import NetworkCost

__all__ = ["cost_table", "table_text"]

_INDENT = 12


def cost_table(
    cost: NetworkCost, convention: str = "chip", energy: str | EnergyTable = "bitnet_7nm"
) -> Group:
    """Return the costs as a rich renderable.

    Args:
        cost: The costs.
        convention: Convention for counting memory, a key of `MEMORY_CONVENTIONS`.
        energy: A table of energies, or the name of one of `ENERGY_TABLES`.

    Raises:
        ArgumentError: If there is no such convention or table.

    Example:
        >>> from qsnn_plugins.cost import NetworkCost
        >>> lif = NeuronCost("lif1", "LIFNode", 100, 32, rate=0.1, masked=0.0)
        >>> cost = NetworkCost((), (lif,), (), time_steps=4, activity="given: 0.1")
        >>> Console(width=100).print(cost_table(cost).renderables[-2])
        energy      152 pJ without memory accesses
    """
    counted = memory_convention(convention)
    return Group(
        Text(f"One sample, T = {cost.time_steps}. Activity: {cost.activity or 'unknown'}.\n"),
        _layers(cost),
        Text(f"\nMemory in bytes, counted as {convention!r}: {counted.source}.\n"),
        _memory(cost, counted),
        Text(),
        *_operations(cost, energy_table(energy)),
    )


def table_text(table: Group) -> str:
    r"""Return what a terminal of this width shows, without colours.

    Example:
        >>> table_text(Group(Text("one"), Text("two")))
        'one\ntwo'
    """
    file = StringIO()
    Console(file=file, force_terminal=False, force_jupyter=False).print(table)
    return file.getvalue().removesuffix("\n")


def _layers(cost: NetworkCost) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("layer", overflow="fold", min_width=14)
    is_pruned = any(s.channel for s in cost.synapses)
    columns = ("count", "bits", "bytes", "spikes", "active", "MACs", "SynOps", "left")
    for column in columns[: None if is_pruned else -1]:
        table.add_column(column, justify="right", no_wrap=True)
    weights = {p.layer: p for p in cost.parameters if p.role == "weights"}
    cut = len(_common_prefix([layer.name for layer in _in_order(cost)]))
    for layer in _in_order(cost):
        name = layer.name[cut:]
        if isinstance(layer, NeuronCost):
            count, bits, stored = layer.count, layer.membrane_bits, layer.membrane_bytes
            spikes, rate = f"{layer.spike_bytes:,}", _percent(layer.rate)
            table.add_row(f"  {name}", f"{count:,}", f"{bits}", f"{stored:,}", spikes, rate)
            continue
        stored_weights = weights.get(layer.name)
        table.add_row(
            name,
            f"{stored_weights.count:,}" if stored_weights else "",
            f"{stored_weights.bits}" if stored_weights else "",
            f"{stored_weights.bytes:,}" if stored_weights else "",
            "",
            _percent(layer.activity),
            short(layer.macs).replace(" ", ""),
            short(layer.synaptic_operations).replace(" ", ""),
            *[_percent(_share_left(layer.remaining_macs, layer.total_macs))][: int(is_pruned)],
        )
    return table


def _in_order(cost: NetworkCost) -> Iterator[SynapseCost | NeuronCost]:
    """Each layer as it runs, neurons behind the first synapse that feeds them."""
    pending = {neuron.name: neuron for neuron in cost.neurons}
    for synapse in cost.synapses:
        yield synapse
        for name in synapse.feeds:
            if name in pending and synapse.kind != "predictor":
                yield pending.pop(name)
    yield from pending.values()


def _memory(cost: NetworkCost, counted: MemoryConvention) -> Table:
    memory = cost.memory(counted)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("stored", min_width=16)
    for column in ("count", "bytes", "bytes in 32 bits"):
        table.add_column(column, justify="right", no_wrap=True)
    wide = 0
    for role, stored in memory.parameters.items():
        rows = [p for p in cost.parameters if p.role == role]
        floats = sum(p.float_bytes for p in rows if p.role != "scales")
        wide += floats
        table.add_row(role, f"{sum(p.count for p in rows):,}", *_sizes(stored, floats))
    floats = sum(n.float_bytes for n in cost.neurons) if counted.membranes == "all" else 0
    wide += floats
    count = f"{cost.neuron_count:,}"
    if counted.membranes != "none":
        table.add_row("membranes", count, *_sizes(memory.membranes, floats))
    if counted.spikes:
        table.add_row("spikes", count, *_sizes(memory.spikes))
    if counted.output_bits:
        table.add_row("layers' outputs", count, *_sizes(memory.outputs))
    table.add_row("total", "", *_sizes(memory.total, wide))
    return table


def _operations(cost: NetworkCost, energy: EnergyTable) -> list[Text]:
    rows = [
        ("MACs", f"{short(cost.macs)} a step; SOPs (MACs T S) {short(cost.sops)}"),
        ("S-ACE", f"{short(cost.s_ace)} bit operations; NS-ACE {short(cost.ns_ace) or '?'}"),
    ]
    if cost.product_macs:
        macs, effort = short(cost.product_macs), short(cost.product_s_ace)
        rows.append(("attention", f"{macs} MACs a step between spikes; {effort} bit operations"))
    if cost.share_left not in (None, 1):
        rows.append(("gated", f"{cost.share_left:.1%} of the MACs are left, predictors included"))
    if cost.uncounted:
        names = ", ".join(f"{name} ({kind})".lstrip() for name, kind in cost.uncounted.items())
        rows.append(("not counted", f"states, and spikes if any, of {names}"))
    joules = cost.energy(energy)
    if joules is None and cost.activity is None:
        rows.append(("?", "SynOps, additions and energy: no activity was given or measured"))
    elif joules is None:
        rows.append(("operations", f"{short(cost.synaptic_operations) or '?'} SynOps"))
        why = "not known of every layer; where masks prune, the shares that they take are needed"
        rows.append(("?", f"additions and energy: {why} (spatial, channel)"))
    else:
        additions, products = short(cost.accumulations), short(cost.multiplications)
        synops = short(cost.synaptic_operations) or "?"
        rows += [
            ("operations", f"{synops} SynOps; {additions} additions, {products} multiplications"),
            ("energy", f"{_energy(joules)} without memory accesses"),
            ("", f"by {energy.source}"),
        ]
    return [Text(f"{name:<{_INDENT}}{text}") for name, text in rows]


def short(value: float | None) -> str:
    """Write a number in three or four digits and a letter; nothing for None."""
    if value is None:
        return ""
    for size, letter in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def _energy(picojoules: float) -> str:
    for size, unit in ((1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ")):
        if picojoules >= size:
            return f"{picojoules / size:.4g} {unit}"
    return f"{picojoules:.4g} pJ"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _share_left(left: float | None, total: float) -> float | None:
    return None if left is None or not total else left / total


def _sizes(stored: int, floats: int = 0) -> tuple[str, str]:
    return f"{stored:,}", f"{floats:,}" if floats else ""


def _common_prefix(names: list[str]) -> str:
    """The dotted parts that all names begin with, where one is left of each."""
    shared = []
    for parts in zip(*(name.split(".")[:-1] for name in names), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(f"{parts[0]}.")
    return "".join(shared) if len(names) > 1 else ""
