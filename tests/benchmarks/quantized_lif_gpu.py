"""Time and memory of the fused neuron on a GPU, beside memory itself and SpikingJelly's neurons.

    python -m tests.benchmarks.quantized_lif_gpu --json gpu.json
    python -m tests.benchmarks.gpu_table gpu.json --into docs/performance.md

It has not been run on a GPU yet, for want of one. What is compared runs in turn within each round,
timed by the GPU's own events, and medians are kept. Before each piece of work the GPU sleeps until
Python has queued all of it, so that Python's own time, which is printed beside it, is not measured;
where it could not be hidden, the figure has a "+". Then 256 MB are written, so that nothing is read
from a cache. LIFNode takes by itself the fastest implementation that SpikingJelly has for a device;
its log says which. "of copy" is the bytes that the kernel moves (`gpu_table.moved`), over its time,
over what a copy of the currents moves. What is not installed is left out.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from qsnn_plugins.files import atomic_write
from qsnn_plugins.ops.quantized_lif import Parameters, compiled, cupy, quantized_lif, reference
from qsnn_plugins.spec import MembraneSpec, PruningSpec
from tests.benchmarks.gpu_table import moved, render

SHAPES = ((4, 64, 64, 32, 32), (10, 16, 128, 24, 24), (32, 16, 128, 24, 24))
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FOUR_BITS = MembraneSpec(kind="uniform", bits=4, scale="fixed", gradient="clipped_straight_through")
KERNELS = {"cuda": "cupy", "cpu": "cpp"}
LONGEST_SLEEP = 4_000_000_000  # cycles, about two seconds
Run = Callable[[Tensor], Tensor]


class Timing(NamedTuple):
    """Seconds of a piece of work on the GPU, and those that Python took to queue it."""

    seconds: float
    python: float
    is_hidden: bool


class Clock:
    """Times work on the GPU, from a cold cache and with Python's time hidden behind a sleep."""

    def __init__(self) -> None:
        self.cycles = 2_000_000
        self.other = torch.empty(256 << 20, dtype=torch.int8, device="cuda")

    def __call__(
        self, prepare: Callable[[], Any], work: Callable[[Any], Any]
    ) -> tuple[Timing, Any]:
        """Return the times of `work` on what `prepare` returns, and its result."""
        while True:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            given = prepare()
            torch.cuda.synchronize()
            torch.cuda._sleep(self.cycles)
            self.other.zero_()
            begin.record()
            start = time.perf_counter()
            result = work(given)
            python = time.perf_counter() - start
            is_hidden = not begin.query()
            end.record()
            end.synchronize()
            if is_hidden or self.cycles > LONGEST_SLEEP:
                return Timing(begin.elapsed_time(end) / 1e3, python, is_hidden), result
            self.cycles *= 2


class Row(NamedTuple):
    """Something that is timed: work forward, and backward on what that returned."""

    name: str
    forward: Callable[[], Any]
    backward: Callable[[Any], Any]
    parameters: Parameters | None = None  # of a kernel whose bytes are counted
    is_host: bool = False


def rows(x_seq: Tensor, grad: Tensor, longest_compiled: int) -> Iterator[tuple[str, Callable]]:
    """Yield names, and functions that make the rows: what one needs may be missing."""
    device = x_seq.device.type

    def row(name: str, run: Run, parameters: Parameters | None = None, **more: Any) -> Row:
        return Row(
            name,
            lambda: run(x_seq),
            lambda spikes: torch.autograd.grad(spikes, x_seq, grad),
            parameters,
            **more,
        )

    def kernel(name: str, parameters: Parameters) -> Row:
        return row(name, fused(parameters, device, KERNELS[device]), parameters)

    def loop(name: str, parameters: Parameters, steps: Callable = reference.quantized_lif) -> Row:
        return row(name, looped(parameters, device, steps))

    compiles = len(x_seq) <= longest_compiled
    yield "LIFNode", lambda name: hosted(name, row, x_seq)
    if compiles:
        yield (
            "LIFNode, torch.compile",
            lambda name: row(name, spikingjelly_run(device, torch.compile)),
        )
    yield "ternary", lambda name: kernel(name, Parameters())
    if device == "cuda":
        yield "ternary, CUDA graph", lambda name: replayed(name, Parameters(), x_seq, grad)
    yield "4 bits, fixed scale", lambda name: kernel(name, Parameters(FOUR_BITS))
    measured = Parameters(FOUR_BITS, scale="step_max")
    yield "4 bits, step's maximum", lambda name: kernel(name, measured)
    for kind, parameters in (
        ("ternary", Parameters()),
        ("learned leak", Parameters(has_rate=True)),
        ("masked", Parameters(pruning=PruningSpec(spatial_ratio=0.5))),
    ):
        yield f"{kind}, reference", lambda name, own=parameters: loop(name, own)
        if compiles:
            yield (
                f"{kind}, reference, torch.compile",
                lambda name, own=parameters: loop(name, own, compiled_or_error),
            )


def fused(parameters: Parameters, device: str, backend: str) -> Run:
    """Return the fused neuron from rest, its threshold and scale on the device already."""
    one = torch.tensor(1.0, device=device)
    return lambda x: quantized_lif(x, 0.0, one, parameters, one, backend=backend)[0]


def looped(parameters: Parameters, device: str, steps: Callable) -> Run:
    """Return the reference from rest, with a leak that learns where the neuron has a rate."""
    one, rest = torch.tensor(1.0, device=device), torch.zeros((), device=device)
    rate = torch.tensor(0.5, device=device, requires_grad=True) if parameters.has_rate else None
    return lambda x: steps(x, rest, one, parameters, one, decay=rate)[0]


def compiled_or_error(*arguments: Any, **named: Any) -> tuple[Tensor, ...]:
    """Run the compiled reference, which a GPU takes where its kernel covers no mask or leak."""
    compiled.failed.clear()  # another row's, or this one's of another shape
    result = compiled.quantized_lif(*arguments, **named)
    if compiled.failed:
        raise RuntimeError("torch could not compile it")
    return result


def spikingjelly_run(device: str, wrap: Callable[[Any], Any] = lambda node: node) -> Run:
    """Return SpikingJelly's LIFNode from rest."""
    functional = importlib.import_module("spikingjelly.activation_based.functional")
    neuron = importlib.import_module("spikingjelly.activation_based.neuron")
    node = neuron.LIFNode(tau=2.0, decay_input=False, step_mode="m").to(device)
    call = wrap(node)

    def run(x_seq: Tensor) -> Tensor:
        functional.reset_net(node)
        return call(x_seq)

    return run


def hosted(name: str, row: Callable[..., Row], x_seq: Tensor) -> Row:
    """Return the row of LIFNode, with the implementation that SpikingJelly's log names."""
    run, messages = spikingjelly_run(x_seq.device.type), []
    logger = importlib.import_module("spikingjelly.logger").logger
    logger.enable("spikingjelly")
    sink = logger.add(lambda message: messages.append(str(message)), level="INFO")
    run(x_seq).sum().backward()
    logger.remove(sink)
    logger.disable("spikingjelly")
    IMPLEMENTATION.extend(re.findall(r"implementation=([\w-]+)", " ".join(messages)))
    return row(f"{name}, {IMPLEMENTATION[-1] if IMPLEMENTATION else 'unknown'}", run, is_host=True)


IMPLEMENTATION: list[str] = []  # of LIFNode; the log names it once in a process


def replayed(name: str, parameters: Parameters, x_seq: Tensor, grad: Tensor) -> Row:
    """Return the row of a forward and a backward that were captured once."""
    run = fused(parameters, "cuda", "cupy")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # builds
        torch.autograd.grad(run(x_seq), x_seq, grad)
    torch.cuda.current_stream().wait_stream(stream)
    forward, backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
    with torch.cuda.graph(forward):
        spikes = run(x_seq)
    with torch.cuda.graph(backward, pool=forward.pool()):
        kept = torch.autograd.grad(spikes, x_seq, grad)
    return Row(name, forward.replay, lambda _: (backward.replay(), spikes, kept)[0], parameters)


def compare(
    shape: Sequence[int],
    dtype: torch.dtype,
    rounds: int,
    clock: Callable[..., tuple[Timing, Any]],
    device: str,
    longest_compiled: int = 10,
    only: str = "",
) -> dict[str, Any]:
    """Return the table of a shape.

    Args:
        shape: That of the currents, [T, N, ...].
        dtype: Theirs.
        rounds: How often each row is timed.
        clock: What times, see `Clock`.
        device: "cuda", or "cpu" to try the benchmark itself.
        longest_compiled: Steps beyond which torch.compile is left out: it unrolls them.
        only: A part of the names of what is timed.
    """
    torch.manual_seed(0)
    torch.compiler.reset()
    x_seq = torch.randn(shape, device=device, dtype=dtype, requires_grad=True)
    grad = torch.randn_like(x_seq)
    facts, timed = [], []  # of all rows; of those that run, with the row and its times
    for name, make in rows(x_seq, grad, longest_compiled):
        if only not in name:
            continue
        try:
            row = make(name)
            facts.append(warmed_up(row, device))
            timed.append((row, facts[-1], []))
        except ImportError:
            continue
        except Exception as error:  # whatever one row fails of, the others are measured
            first = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            facts.append({"name": name, "is_host": False, "error": first})
    copies, target, source = [], torch.empty_like(grad), x_seq.detach()
    for _ in range(rounds):
        copies.append(clock(lambda: None, lambda _: target.copy_(source))[0].seconds)
        for row, _, times in timed:
            forward, _ = clock(lambda: None, lambda _, row=row: row.forward())
            times.append((forward, clock(row.forward, row.backward)[0]))
    for row, fact, times in timed:
        fact |= figures(times)
        if row.parameters is not None:
            counted = moved(tuple(shape), dtype, row.parameters)
            fact |= {f"{way}_bytes": each for way, each in counted._asdict().items()}
    size, copy = x_seq.numel() * x_seq.element_size(), statistics.median(copies)
    names = {each: name for name, each in TYPES.items()}
    head = {"shape": list(shape), "dtype": names[dtype], "copy_gb_s": 2 * size / copy / 1e9}
    return head | {"rows": facts}


def warmed_up(row: Row, device: str) -> dict[str, Any]:
    """Run a row until nothing is built any more, and return its name and its peak of memory."""
    for _ in range(3):
        result = row.forward()
        row.backward(result)
    peak = None
    if device == "cuda" and result is not None:  # a graph's memory is taken already
        del result
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        result = row.forward()
        gradients = row.backward(result)
        peak = torch.cuda.max_memory_allocated() - before
        del result, gradients
    return {"name": row.name, "is_host": row.is_host, "peak_bytes": peak}


def figures(measured: list[tuple[Timing, Timing]]) -> dict[str, Any]:
    """Return the medians of a row in milliseconds."""
    result: dict[str, Any] = {
        "python_is_hidden": all(t.is_hidden for pair in measured for t in pair)
    }
    for way, each in zip(("forward", "backward"), zip(*measured, strict=True), strict=True):
        result[f"{way}_ms"] = 1e3 * statistics.median(timing.seconds for timing in each)
        result[f"{way}_python_ms"] = 1e3 * statistics.median(timing.python for timing in each)
    return result


def described(device: str, rounds: int, clock: Callable[..., tuple[Timing, Any]]) -> dict[str, Any]:
    """Return what the figures were measured on and with."""
    versions = {"torch": torch.__version__, "CUDA": torch.version.cuda}
    for name, package in (("CuPy", "cupy"), ("Triton", "triton"), ("SpikingJelly", "spikingjelly")):
        try:
            module = importlib.import_module(package)
            versions[name] = getattr(module, "__version__", None) or importlib.metadata.version(
                package
            )
        except ImportError:
            versions[name] = "absent"
    command = ["git", "rev-parse", "--short", "HEAD"]
    folder = Path(__file__).parent
    commit = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    large = torch.empty(1 << (30 if device == "cuda" else 20), dtype=torch.int8, device=device)
    target = torch.empty_like(large)
    copies = [clock(lambda: None, lambda _: target.copy_(large))[0].seconds for _ in range(rounds)]
    return {
        "is_of_a_gpu": device == "cuda",
        "device": torch.cuda.get_device_name() if device == "cuda" else "no GPU",
        "date": datetime.date.today().isoformat(),
        "commit": commit.stdout.strip() or "unknown",
        "versions": versions,
        "rounds": rounds,
        "copy_gb_s": 2 * large.numel() / statistics.median(copies) / 1e9,
        "tables": [],
    }


def sizes(text: str) -> tuple[int, ...]:
    """Return a shape that is given as text."""
    return tuple(int(size) for size in text.split(","))


def main() -> None:
    """Measure, print and keep a table for each type and shape."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="where to keep what was measured")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--types", nargs="+", choices=TYPES, default=list(TYPES))
    parser.add_argument("--shapes", nargs="+", type=sizes, default=list(SHAPES), help="as 4,64,32")
    parser.add_argument("--only", default="", help="a part of the names of what is timed")
    parser.add_argument(
        "--longest-compiled", type=int, default=10, help="steps, 0 compiles nothing"
    )
    options = parser.parse_args()
    if options.json is not None and not options.json.parent.is_dir():
        parser.error(f"argument --json: there is no folder {options.json.parent}")
    reason = None if torch.cuda.is_available() else "there is no CUDA device"
    reason = reason or cupy.missing()
    if reason:
        parser.error(reason)
    clock = Clock()
    result = described("cuda", options.rounds, clock)
    for name in options.types:
        for shape in options.shapes:
            more = options.longest_compiled, options.only
            table = compare(shape, TYPES[name], options.rounds, clock, "cuda", *more)
            result["tables"].append(table)
            sys.stdout.write(render({**result, "tables": [table]}))
            sys.stdout.flush()
            if options.json is not None:  # after each table: a machine may be lent for minutes
                with atomic_write(options.json, "w") as file:
                    json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
