"""Time of the fused neuron on the CPU: against the hosts' neurons, memory, and in a network.

    python tests/benchmarks/quantized_lif.py --rounds 11 --threads 1 2

What is compared runs in turn within each round, and the median of the rounds' ratios is printed:
the speed of a shared machine changes from one minute to the next, and its ratios less so. The host
is SpikingJelly's LIFNode with the papers' leak, in eager mode; a copy and an add are one pass over
memory of the input's size with a fresh result; the bytes are those saved for the backward, per
neuron and step.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import snntorch
import torch
from spikingjelly.activation_based import functional, neuron
from torch import Tensor, nn

from qsnn_plugins.models import StringNet
from qsnn_plugins.ops.quantized_lif import Parameters, quantized_lif
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec

SHAPES = ((4, 64, 64, 32, 32), (10, 16, 128, 24, 24), (2, 128, 128, 32, 32))
VGG = "64C3-128C3-AP2-256C3-256C3-AP2-512C3-512C3-AP2-1024C3-GAP-FC1024-FC10"
FOUR_BITS = MembraneSpec(kind="uniform", bits=4, scale="fixed", gradient="clipped_straight_through")
STACKED = replace(FOUR_BITS, gradient="stacked")
Run = Callable[[Tensor], Tensor]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--shapes", nargs="+", default=[",".join(map(str, s)) for s in SHAPES])
    options = parser.parse_args()
    print(f"torch {torch.__version__}, load average {os.getloadavg()[0]:.1f}")
    shapes = [tuple(int(size) for size in text.split(",")) for text in options.shapes]
    for threads in options.threads:
        torch.set_num_threads(threads)
        print(f"\n{threads} thread{'s' * (threads > 1)}: forward and backward, LIFNode = 1")
        columns = [neurons(shape, options.rounds) for shape in shapes]
        table(["", *(str(list(shape)) for shape in shapes)], columns)
    for threads in options.threads:
        torch.set_num_threads(threads)
        print(f"\n{threads} thread{'s' * (threads > 1)}: a training step of VGG-9, LIFNode = 1")
        table(["", "[4, 8, 2, 32, 32]"], [network(options.rounds)])
    print(f"\nload average {os.getloadavg()[0]:.1f}")


def table(head: list[str], columns: list[dict[str, float]]) -> None:
    """Print one row for each figure of the columns."""
    line = f"{{:<{max(map(len, columns[0])) + 2}}}" + "{:>24}" * len(columns)
    print(line.format(*head))
    for name in columns[0]:
        print(line.format(name, *(f"{column[name]:.3f}" for column in columns)))


def neurons(shape: tuple[int, ...], rounds: int) -> dict[str, float]:
    """Return the medians of a shape."""
    x_seq, grad = torch.randn(shape, requires_grad=True), torch.randn(shape)
    leaky = snntorch.Leaky(beta=0.5, init_hidden=True)

    def loop(x_seq: Tensor) -> Tensor:
        leaky.reset_mem()
        return torch.stack([leaky(x) for x in x_seq])

    def fused(parameters: Parameters, backend: str) -> Run:
        return lambda x: quantized_lif(x, 0.0, 1.0, parameters, backend=backend)[0]

    spatial = PruningSpec(spatial_ratio=0.35)
    kept = {"spatial": Parameters(pruning=spatial), "states": Parameters(returns_states=True)}

    runs = {
        "LIFNode": hosted(compiled=False),
        "ternary, C++": fused(Parameters(), "cpp"),
        "4 bits, fixed scale, C++": fused(Parameters(FOUR_BITS), "cpp"),
        "4 bits, stacked gradient, C++": fused(Parameters(STACKED), "cpp"),
        "4 bits, step's maximum, C++": fused(Parameters(FOUR_BITS, scale="step_max"), "cpp"),
        "ternary, pruned, C++": fused(kept["spatial"], "cpp"),
        "ternary, all states, C++": fused(kept["states"], "cpp"),
        "ternary, reference": fused(Parameters(), "reference"),
        "ternary, pruned, reference": fused(kept["spatial"], "reference"),
        "LIFNode, torch.compile": hosted(compiled=True),
        "snnTorch Leaky, a loop": loop,
    }
    times: list[dict[str, tuple[float, float]]] = []
    for number in range(rounds + 1):
        seconds = {name: train(run, x_seq, grad) for name, run in runs.items()}
        seconds["copy"] = timed(x_seq.detach().clone), 0.0
        seconds["add"] = 0.0, timed(lambda: x_seq.detach() + grad)
        if number:  # the first builds and compiles
            times.append(seconds)

    def median(ratio: Callable[[Mapping[str, tuple[float, float]]], float]) -> float:
        return statistics.median(map(ratio, times))

    ours, masked = "ternary, C++", "ternary, pruned, C++"
    table = {name: median(lambda s: sum(s[name]) / sum(s["LIFNode"])) for name in runs}  # noqa: B023
    compiled = "LIFNode, torch.compile"
    return table | {
        "ternary / LIFNode, torch.compile": median(lambda s: sum(s[ours]) / sum(s[compiled])),
        "pruned / ternary, C++": median(lambda s: sum(s[masked]) / sum(s[ours])),
        "pruned, C++ / pruned, reference": median(
            lambda s: sum(s[masked]) / sum(s["ternary, pruned, reference"])
        ),
        "forward / copy": median(lambda s: s[ours][0] / s["copy"][0]),
        "backward / add": median(lambda s: s[ours][1] / s["add"][1]),
        **{
            f"bytes saved, {name}": saved(runs[name], x_seq) / x_seq.numel()
            for name in ("LIFNode", *(name for name in runs if "C++" in name))
        },
    }


def hosted(compiled: bool) -> Run:
    """Return LIFNode from rest."""
    node = neuron.LIFNode(tau=2.0, decay_input=False, step_mode="m")
    call = torch.compile(node) if compiled else node

    def run(x_seq: Tensor) -> Tensor:
        functional.reset_net(node)
        return call(x_seq)

    return run


def network(rounds: int) -> dict[str, float]:
    """Return the medians of a training step of VGG-9, with several neurons in it."""
    x_seq, labels = torch.rand(4, 8, 2, 32, 32), torch.randint(10, (8,))

    def build(spec: QuantSpec) -> StringNet:
        torch.manual_seed(0)
        return StringNet(VGG, spec=spec)

    def exchanged(neuron: Callable[[], nn.Module]) -> StringNet:
        net = build(QuantSpec.full_precision())
        for parent in list(net.modules()):
            for name, child in list(parent.named_children()):
                if hasattr(child, "quant_spec"):
                    setattr(parent, name, neuron())
        return net

    def lif() -> nn.Module:
        return neuron.LIFNode(tau=2.0, decay_input=False, step_mode="m")

    nets = {
        "LIFNode": exchanged(lif),
        "ternary": build(QuantSpec()),
        "4 bits, fixed scale": build(QuantSpec(FOUR_BITS)),
        "ReLU": exchanged(nn.ReLU),
    }

    def step(net: StringNet) -> float:
        net.zero_grad()
        net.reset_states()
        begin = time.perf_counter()
        nn.functional.cross_entropy(net(x_seq).mean(0), labels).backward()
        return time.perf_counter() - begin

    times = [{name: step(net) for name, net in nets.items()} for _ in range(rounds + 1)][1:]
    table = {
        name: statistics.median(seconds[name] / seconds["LIFNode"] for seconds in times)
        for name in nets
    }
    ratio = statistics.median(seconds["ternary"] / seconds["ReLU"] for seconds in times)
    return table | {"ternary / ReLU": ratio}


def train(run: Run, x_seq: Tensor, grad: Tensor) -> tuple[float, float]:
    """Return the seconds of a forward and of its backward."""
    x_seq.grad = None
    begin = time.perf_counter()
    spikes = run(x_seq)
    between = time.perf_counter()
    spikes.backward(grad)
    return between - begin, time.perf_counter() - between


def timed(call: Callable[[], Tensor]) -> float:
    """Return the seconds of a call, the freeing of its result left out."""
    begin = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - begin
    del result
    return seconds


def saved(run: Run, x_seq: Tensor) -> int:
    """Return the bytes that a forward keeps for its backward."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run(x_seq)
    return sum(sizes.values())


if __name__ == "__main__":
    main()
