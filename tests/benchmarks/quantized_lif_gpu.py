"""Time of the fused neuron on a GPU: against memory and against SpikingJelly's neurons.

    python tests/benchmarks/quantized_lif_gpu.py --rounds 21 --shapes 4,64,64,32,32

It has not been run yet, for want of a GPU. What is compared runs in turn within each round, timed
by the GPU's own events, and medians are printed. LIFNode takes by itself the fastest kernel that
SpikingJelly has for the device. The bandwidth is what one copy of the input moves; a fraction is
the bytes that a neuron has to move, over the time that it takes, over that bandwidth: 8 bytes
per neuron and step forward, 12 backward in float32, half of it in float16.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch
from spikingjelly.activation_based import functional, neuron
from torch import Tensor

from qsnn_plugins.ops.quantized_lif import Parameters, cupy, quantized_lif
from qsnn_plugins.spec import MembraneSpec

SHAPES = ((4, 64, 64, 32, 32), (10, 16, 128, 24, 24), (32, 16, 128, 24, 24))
TYPES = {"float32": torch.float32, "float16": torch.float16}
FOUR_BITS = MembraneSpec(kind="uniform", bits=4, scale="fixed", gradient="clipped_straight_through")
LINE = "{:<34}{:>12}{:>12}{:>14}{:>14}{:>12}"
HEAD = ("", "forward, ms", "backward, ms", "of bandwidth", "of bandwidth", "/ LIFNode")
Run = Callable[[Tensor], Tensor]


def main() -> None:
    """Print a table for each shape and type."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--types", nargs="+", choices=TYPES, default=list(TYPES))
    parser.add_argument("--shapes", nargs="+", default=[",".join(map(str, s)) for s in SHAPES])
    options = parser.parse_args()
    if not torch.cuda.is_available() or cupy.missing():
        parser.error(cupy.missing() or "there is no CUDA device")
    print(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, torch {torch.__version__}")
    for text in options.shapes:
        shape = tuple(int(size) for size in text.split(","))
        for name in options.types:
            compare(shape, TYPES[name], options.rounds)


def compare(shape: tuple[int, ...], dtype: torch.dtype, rounds: int) -> None:
    """Print the medians of a shape."""
    x_seq = torch.randn(shape, device="cuda", dtype=dtype, requires_grad=True)
    grad = torch.randn_like(x_seq)
    runs = {
        "LIFNode": hosted(),
        "LIFNode, torch.compile": hosted(torch.compile),
        "ternary, CUDA": fused(Parameters()),
        "4 bits, fixed scale, CUDA": fused(Parameters(FOUR_BITS)),
        "4 bits, step's maximum, CUDA": fused(Parameters(FOUR_BITS, scale="step_max")),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    copies = []
    for number in range(rounds + 2):
        measured = {name: train(run, x_seq, grad) for name, run in runs.items()}
        copy = timed(x_seq.detach().clone)[0]
        if number > 1:  # the first ones build and warm up
            copies.append(copy)
            for name, pair in measured.items():
                times[name].append(pair)
    size = x_seq.numel() * x_seq.element_size()
    bandwidth = 2 * size / statistics.median(copies)
    print(f"\n{list(shape)}, {dtype}: a copy moves {bandwidth / 1e9:.0f} GB/s")
    print(LINE.format(*HEAD))
    for name, pairs in times.items():
        forward, backward = (statistics.median(each) for each in zip(*pairs, strict=True))
        host = statistics.median(
            sum(own) / sum(lif) for own, lif in zip(pairs, times["LIFNode"], strict=True)
        )
        fractions = 2 * size / forward / bandwidth, 3 * size / backward / bandwidth
        figures = f"{1e3 * forward:.3f}", f"{1e3 * backward:.3f}", *map("{:.2f}".format, fractions)
        print(LINE.format(name, *figures, f"{host:.3f}"))


def hosted(wrap: Callable[[Any], Any] = lambda node: node) -> Run:
    """Return LIFNode from rest."""
    node = neuron.LIFNode(tau=2.0, decay_input=False, step_mode="m").cuda()
    call = wrap(node)

    def run(x_seq: Tensor) -> Tensor:
        functional.reset_net(node)
        return call(x_seq)

    return run


def fused(parameters: Parameters) -> Run:
    """Return the fused neuron from rest, its threshold and scale on the GPU already."""
    one = torch.tensor(1.0, device="cuda")
    return lambda x_seq: quantized_lif(x_seq, 0.0, one, parameters, one, backend="cupy")[0]


def train(run: Run, x_seq: Tensor, grad: Tensor) -> tuple[float, float]:
    """Return the seconds of a forward and of its backward."""
    x_seq.grad = None
    forward, spikes = timed(lambda: run(x_seq))
    backward, _ = timed(lambda: spikes.backward(grad))
    return forward, backward


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that the GPU takes over a call, and what it returns."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    result = call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3, result


if __name__ == "__main__":
    main()
