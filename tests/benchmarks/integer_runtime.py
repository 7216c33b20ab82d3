"""Time and memory of integer networks on the CPU, beside the same networks in torch.

    python tests/benchmarks/integer_runtime.py --rounds 5 --rates own 5 10 20 40

What is compared runs in turn within each round, on one sample, and the median of the rounds'
ratios is printed: how many times as long as the integer network torch takes in float32
evaluation, as the host runs it, with its quantized weights computed once, and under
torch.compile. Normalization is set to the statistics of one forward pass, and its shifts so that
each layer fires at the given rate in percent; "own" leaves the shifts. The peak of memory is that
of a process of its own, less what it took before it had a network.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from qsnn_plugins import QuantSpec, export, presets
from qsnn_plugins.models import ResidualNet, TimeMajorNet, string_net
from qsnn_plugins.spec import MembraneSpec, WeightSpec

ONE_BIT = QuantSpec(
    MembraneSpec(kind="uniform", bits=2, scale="fixed"), weight=WeightSpec(kind="binary", bits=1)
)
NETWORKS: dict[str, Callable[[], TimeMajorNet]] = {
    "VGG-9, ternary, 4-bit weights": lambda: vgg(presets.imsnn(weight_bits=4)),
    "VGG-9, 2-bit membranes, 1-bit weights": lambda: vgg(ONE_BIT),
    "ResNet-19, ternary, 4-bit weights": lambda: ResidualNet(19, spec=presets.imsnn(weight_bits=4)),
}


def vgg(spec: QuantSpec) -> TimeMajorNet:
    """Return the VGG-9 of the printed size."""
    return string_net("vgg9_printed_size", spec=spec)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rates", nargs="+", default=["own", "5", "10", "20", "40"])
    parser.add_argument("--networks", default="", help="a part of the names")
    parser.add_argument("--ways", action="store_true", help="print how each layer is summed")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory:
        memory(*options.memory, options)
        return
    print(
        f"torch {torch.__version__}, {options.threads} thread(s), {options.steps} steps, "
        f"load average {os.getloadavg()[0]:.1f}"
    )
    for name in NETWORKS:
        if options.networks not in name:
            continue
        print(f"\n{name}: times as long as the integer network")
        print(
            f"{'rate':>6}{'measured':>10}{'ms':>8}{'host':>8}{'weights once':>14}{'compiled':>10}"
        )
        for rate in options.rates:
            print(row(name, rate, options), flush=True)
        print(f"memory: {peaks(name, options)}")
    print(f"\nload average {os.getloadavg()[0]:.1f}")


def example(net: TimeMajorNet, steps: int) -> Tensor:
    """Return a sample: 8-bit pixels, or counts of events."""
    generator = torch.Generator().manual_seed(1)
    if net.in_channels == 3:
        return (
            torch.randint(0, 256, (1, 1, 3, 32, 32), generator=generator).expand(
                steps, -1, -1, -1, -1
            )
            / 255
        )
    return torch.poisson(torch.full((steps, 1, 2, 48, 48), 0.1), generator=generator).clamp(max=15)


def build(name: str, rate: str, steps: int) -> tuple[TimeMajorNet, Tensor]:
    """Return a network that fires at a rate, and a sample."""
    torch.manual_seed(0)
    net = NETWORKS[name]().eval()
    x = example(net, steps)
    normalize(net, x, None if rate == "own" else float(rate) / 100)
    return net, x


def normalize(net: TimeMajorNet, x: Tensor, rate: float | None) -> None:
    """Set normalization by one pass, and its shifts so that each layer fires at a rate."""
    last: list[nn.Module] = []

    def measure(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        dims = [d for d in range(inputs[0].dim()) if d != 1]
        norm.running_mean.copy_(inputs[0].mean(dims))
        norm.running_var.copy_(inputs[0].var(dims) + 1e-3)
        last[:] = [norm]

    def shift(neuron: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        low, high = -8.0, 8.0
        for _ in range(12):
            middle = (low + high) / 2
            hooks = dict(neuron._forward_pre_hooks)
            neuron._forward_pre_hooks.clear()
            net.reset_states()
            fires = neuron(inputs[0] + middle).mean()
            neuron._forward_pre_hooks.update(hooks)
            low, high = (low, middle) if fires > rate else (middle, high)
        net.reset_states()
        last[0].bias.add_(low)
        return (inputs[0] + low, *inputs[1:])

    hooks = []
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            hooks.append(module.register_forward_pre_hook(measure))
        elif hasattr(module, "quant_spec") and rate is not None:
            hooks.append(module.register_forward_pre_hook(shift))
    with torch.no_grad():
        net.reset_states()
        net(x)
    for hook in hooks:
        hook.remove()


def row(name: str, rate: str, options: argparse.Namespace) -> str:
    """Measure one network at one rate."""
    net, x = build(name, rate, options.steps)
    integer = export.to_integer(net, x[:1, :1])
    frames = integer.quantize(x)
    compiled = integer.compile(options.threads, frames)
    _, spikes = compiled(frames, spikes=True)
    measured = sum(int((s > 0).sum()) for s in spikes.values())
    measured /= sum(s.numel() for s in spikes.values())
    if options.ways:
        print(compiled)

    def host() -> object:
        net.reset_states()
        return net(x)

    def once() -> object:
        net.reset_states()
        with parametrize.cached():
            return net(x)

    runs: dict[str, Callable[[], object]] = {"ours": lambda: compiled(frames), "host": host}
    if not options.no_compile:
        torch._dynamo.reset()
        fast = torch.compile(net)

        def run() -> object:
            net.reset_states()
            return fast(x)

        runs["compiled"] = run
    with torch.no_grad(), parametrize.cached():
        host()  # fills the cache of weights
        seconds = [
            {"once": timed(once), **({"ours once": timed(runs["ours"])})}
            for _ in range(options.rounds)
        ]
    with torch.no_grad():
        for run_once in runs.values():
            run_once()
        rounds = [{key: timed(run) for key, run in runs.items()} for _ in range(options.rounds)]

    def median(key: str) -> str:
        if key not in rounds[0]:
            return "-"
        return f"{statistics.median(each[key] / each['ours'] for each in rounds):.1f}"

    cached = statistics.median(each["once"] / each["ours once"] for each in seconds)
    ours = statistics.median(each["ours"] for each in rounds) * 1000
    return (
        f"{rate:>6}{measured:>10.1%}{ours:>8.1f}{median('host'):>8}{cached:>14.1f}"
        f"{median('compiled'):>10}"
    )


def timed(call: Callable[[], object]) -> float:
    """Return the seconds of a call: of one thread its own, whatever else runs on the machine."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    begin = clock()
    call()
    return clock() - begin


def peaks(name: str, options: argparse.Namespace) -> str:
    """Return the peaks of memory of both in words."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        net, x = build(name, "10", options.steps)
        export.to_integer(net, x[:1, :1]).save(path)
        command = [sys.executable, __file__, "--steps", str(options.steps), "--memory"]
        found = {}
        for which in ("torch", str(path)):
            text = subprocess.run(
                [*command, name, which], check=True, capture_output=True, text=True
            ).stdout
            found[which] = [int(each) / 2**20 for each in text.split()]
    theirs, (whole, ours) = found["torch"][1], found[str(path)]
    return (
        f"{theirs:.1f} MB of torch at a call, {ours:.1f} of the integer network "
        f"({theirs / ours:.1f} times less), {whole:.1f} while it is loaded and compiled"
    )


def memory(name: str, which: str, options: argparse.Namespace) -> None:
    """Print the peak bytes of loading, and those of running, each less what was there before."""
    warm_up()
    if which == "torch":
        before = reset_peak()
        torch.manual_seed(0)
        net = NETWORKS[name]().eval()
        x = example(net, options.steps)
        loaded = peak()
        reset_peak()
        with torch.no_grad():
            net(x)
        print(loaded - before, peak() - before)
        return
    x = example(
        ResidualNet(19, width=0.125)
        if "ResNet" in name
        else string_net("vgg9_printed_size", width=0.1),
        options.steps,
    )
    before = reset_peak()
    integer = export.load(which)
    frames = integer.quantize(x)
    compiled = integer.compile(options.threads, frames)
    del integer
    loaded = peak()
    reset_peak()
    compiled(frames)
    print(loaded - before, peak() - before)


def warm_up() -> None:
    """Load what both need, so that it does not count."""
    net = string_net("vgg9_printed_size", spec=presets.imsnn(weight_bits=4), width=0.05).eval()
    x = example(net, 1)
    with torch.no_grad():
        net(x)
    export.to_integer(net, x).compile(1)(x)


def peak() -> int:
    """Return the most bytes that this process has had in memory since `reset_peak`."""
    text = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) * 1024  # type: ignore[index]


def reset_peak() -> int:
    """Start to count again, and return the bytes in memory."""
    import ctypes
    import gc

    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


if __name__ == "__main__":
    main()
