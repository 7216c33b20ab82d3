"""The benchmark of a GPU as far as it goes without one: bytes, rounds, JSON, table, page."""

import json
import sys
import time

import pytest
import torch

from qsnn_plugins.ops.quantized_lif import Parameters, compiled
from tests.benchmarks import gpu_table, quantized_lif_gpu
from tests.benchmarks.quantized_lif_gpu import FOUR_BITS, Clock, Timing, compare, described

TERNARY, FIXED = Parameters(), Parameters(FOUR_BITS)
MEASURED = Parameters(FOUR_BITS, scale="step_max")


@pytest.mark.parametrize(
    ("steps", "dtype", "parameters", "forward", "backward"),
    [
        # read and written per neuron: currents and spikes, the last state
        (4, torch.float32, TERNARY, 4 * 8 + 4, 4 * 12),
        (4, torch.bfloat16, TERNARY, 4 * 4 + 4, 4 * 6),
        # r is left and taken up again between all steps
        (4, torch.float32, MEASURED, 4 * 8 + 4 + 4 * 8, 4 * 12),
        # 2 bits in words of 16 steps
        (32, torch.float32, TERNARY, 32 * 8 + 4 + 8, 32 * 12 + 8),
        (9, torch.float16, TERNARY, 9 * 4 + 4 + 4, 9 * 6 + 4),
        # 16 steps once more, and the membrane behind them
        (17, torch.float32, FIXED, 17 * 8 + 4, 17 * 12 + 16 * 4 + 4),
        # two segments of 8 steps once more; two membranes written, one of them read
        (20, torch.float16, FIXED, 20 * 4 + 4, 20 * 6 + 16 * 2 + 3 * 4),
    ],
)
def test_bytes_are_those_that_the_kernel_moves(steps, dtype, parameters, forward, backward):
    shape = steps, 3, 7, 5
    assert gpu_table.moved(shape, dtype, parameters) == (105 * forward, 105 * backward)


def clock(prepare, work):
    given = prepare()
    begin = time.perf_counter()
    result = work(given)
    seconds = time.perf_counter() - begin
    return Timing(seconds, seconds, True), result


@pytest.fixture(scope="module")
def result():
    """What the benchmark makes of a CPU: it says itself that it is of none."""
    found = described("cpu", 2, clock)
    with torch.random.fork_rng():
        found["tables"].append(compare((4, 2, 3, 4, 4), torch.float32, 2, clock, "cpu", 0))
    return json.loads(json.dumps(found))


def test_every_row_is_measured_both_ways(result):
    (table,) = result["tables"]
    names = [row["name"] for row in table["rows"]]
    assert names[-6:] == [
        *("ternary", "4 bits, fixed scale", "4 bits, step's maximum"),
        *("ternary, reference", "learned leak, reference", "masked, reference"),
    ]
    for row in table["rows"]:
        assert "error" not in row
        assert min(row["forward_ms"], row["backward_ms"]) > 0
    assert [row["name"] for row in table["rows"] if "forward_bytes" in row] == names[-6:-3]


def test_the_table_has_the_fractions_of_a_copy_and_of_the_host(result):
    row = {"is_host": False, "python_is_hidden": True, "peak_bytes": 5_000_000}
    ours = row | {"name": "ternary", "forward_ms": 2.0, "backward_ms": 4.0}
    ours |= {"forward_python_ms": 0.5, "backward_python_ms": 0.25}
    ours |= {"forward_bytes": 4_000_000_000, "backward_bytes": 6_000_000_000}
    theirs = row | {"name": "LIFNode, triton", "is_host": True, "forward_ms": 8.0}
    theirs |= {"backward_ms": 4.0, "forward_python_ms": 1.0, "backward_python_ms": 1.0}
    theirs |= {"python_is_hidden": False, "peak_bytes": None}
    failed = {"name": "torch.compile", "is_host": False, "error": "OutOfMemoryError: no room"}
    table = {"shape": [2, 3], "dtype": "float32", "copy_gb_s": 2500, "rows": [theirs, ours, failed]}
    lines = gpu_table.render({**result, "tables": [table]}).splitlines()
    assert "on no GPU" in lines[0]
    assert lines[-4].split() == [
        "LIFNode,",
        "triton",
        "8.000+",
        "1.000",
        "4.000+",
        "1.000",
        "1.000",
    ]
    assert lines[-3].split() == [
        *("ternary", "2.000", "0.500", "0.80", "4.000", "0.250", "0.60", "5", "0.500")
    ]
    assert lines[-2].split() == ["torch.compile", "OutOfMemoryError:", "no", "room"]


def written(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["gpu_table", *map(str, arguments)])
    gpu_table.main()


def test_a_page_gets_the_table_between_its_marks(result, tmp_path, monkeypatch):
    page, file = tmp_path / "page.md", tmp_path / "gpu.json"
    page.write_text(f"before\n{gpu_table.BEGIN}not yet\n{gpu_table.END}after\n")
    file.write_text(json.dumps({**result, "is_of_a_gpu": True}))
    for _ in range(2):
        written(monkeypatch, file, "--into", page)
    table = gpu_table.render(result)
    assert page.read_text() == f"before\n{gpu_table.BEGIN}{table}{gpu_table.END}after\n"
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="the page has no place for it"):
        written(monkeypatch, file, "--into", page)


def test_what_is_of_no_gpu_is_kept_out_of_a_page(result, tmp_path, monkeypatch, capsys):
    page, file = tmp_path / "page.md", tmp_path / "gpu.json"
    page.write_text(gpu_table.BEGIN + gpu_table.END)
    file.write_text(json.dumps(result))
    with pytest.raises(SystemExit):
        written(monkeypatch, file, "--into", page)
    assert "it was not measured on a GPU" in capsys.readouterr().err
    assert page.read_text() == gpu_table.BEGIN + gpu_table.END


def test_a_row_that_fails_leaves_the_others(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no kernel image\nfor this device")

    monkeypatch.setattr(quantized_lif_gpu, "quantized_lif", broken)
    table = compare((2, 2, 3, 4), torch.float32, 1, clock, "cpu", 0, only="ternary")
    ours, reference = table["rows"]
    assert ours["error"] == "RuntimeError: no kernel image"
    assert reference["forward_ms"] > 0


def test_a_row_that_cannot_be_compiled_does_not_fail_the_next(monkeypatch):
    def run(kind):
        if kind in compiled.failed:
            return "the loop"
        if kind == "broken":
            compiled.failed.add(kind)
        return kind

    monkeypatch.setattr(compiled, "failed", set())
    monkeypatch.setattr(compiled, "quantized_lif", run)
    for _ in range(2):  # two tables
        with pytest.raises(RuntimeError, match="torch could not compile it"):
            quantized_lif_gpu.compiled_or_error("broken")
        assert quantized_lif_gpu.compiled_or_error("whole") == "whole"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json", "nowhere/gpu.json"], "argument --json: there is no folder nowhere"),
        (["--shapes", "4,64", "4x64"], "argument --shapes: invalid sizes value: '4x64'"),
    ],
)
def test_what_would_fail_after_the_first_table_is_found_before_it(
    arguments, said, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["quantized_lif_gpu", *arguments])
    with pytest.raises(SystemExit):
        quantized_lif_gpu.main()
    assert said in capsys.readouterr().err


def test_the_sleep_grows_until_python_is_hidden(monkeypatch):
    """A GPU that is still asleep when Python is done has not come to the first event."""
    slept, prepared = [], []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self): ...

        def query(self):
            return slept[-1] < 8_000_000

        def synchronize(self): ...

        def elapsed_time(self, end):
            return 3.0

    for name, fake in (("Event", Event), ("synchronize", lambda: None), ("_sleep", slept.append)):
        monkeypatch.setattr(torch.cuda, name, fake, raising=False)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, device, **more: empty(1, **more))
    timing, found = Clock()(lambda: prepared.append(1) or len(prepared), lambda given: given + 1)
    assert slept == [2_000_000, 4_000_000, 8_000_000]
    assert (timing.seconds, timing.is_hidden, found) == (0.003, True, 4)


def test_the_page_has_the_marks():
    text = (gpu_table.Path(__file__).parents[2] / "docs" / "performance.md").read_text()
    assert text.count(gpu_table.BEGIN) == text.count(gpu_table.END) == 1
