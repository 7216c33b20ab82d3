"""What CuPy is asked to do: a stand-in for it notes the calls."""

import contextlib
import ctypes
import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from qsnn_plugins.errors import BackendError
from qsnn_plugins.ops.quantized_lif import Parameters, cupy, operator
from qsnn_plugins.ops.quantized_lif.schema import Call, Inputs, kernel
from qsnn_plugins.spec import MembraneSpec
from tests.ops.quantized_lif.cases import LEARNED, UNIFORM, inputs


def stand_in(asked, version="14.2.0", error=None):
    """A module with as much of CuPy's interface as is used."""

    def raw_module(code, options):
        if error is not None:
            raise error
        asked.append(("build", options))
        return SimpleNamespace(get_function=lambda name: raw_kernel(name))

    def raw_kernel(name):
        def run(grid, block, arguments, shared_mem):
            (values,) = arguments
            assert values.size == 1
            asked.append((name, grid, block, values.tobytes(), shared_mem))

        return run

    @contextlib.contextmanager
    def noted(*what):
        asked.append(what)
        yield

    class Stream:
        @staticmethod
        def from_external(stream):
            return noted("stream", stream.__cuda_stream__())

    cuda = SimpleNamespace(Device=lambda index: noted("device", index), Stream=Stream)
    if version < "14":
        del Stream.from_external
        cuda.ExternalStream = lambda pointer, index: noted("stream", (index, pointer))
    return SimpleNamespace(__version__=version, RawModule=raw_module, cuda=cuda)


@pytest.fixture
def asked(monkeypatch):
    calls = []
    monkeypatch.setitem(sys.modules, "cupy", stand_in(calls))
    stream = SimpleNamespace(cuda_stream=0x5EED)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    for function in (cupy.compiled, cupy.missing, cupy.refused):
        function.cache_clear()
    yield calls
    for function in (cupy.compiled, cupy.missing, cupy.refused):
        function.cache_clear()


@pytest.mark.parametrize("version", ["13.6.0", "14.2.0"])
def test_a_launch_is_on_the_stream_and_device_of_torch(asked, version, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", stand_in(asked, version))
    calls = [b"12345678", b"abcdefgh"]
    for _ in range(2):
        cupy.launch("qsnn_forward_scalar", ("-DONE",), 7, 64, calls, torch.device("cuda", 3))
    index = 3 if version < "14" else 0
    on_gpu = [("device", 3), ("stream", (index, 0x5EED))]
    runs = [("qsnn_forward_scalar", (7,), (128,), call, 64) for call in calls]
    assert asked == [*on_gpu, ("build", ("-DONE",)), *runs, *on_gpu, *runs]


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        (Parameters(), ["qsnn_forward_vector", "qsnn_backward_vector"]),
        (
            Parameters(UNIFORM[2][0], scale="running"),
            [*6 * ["qsnn_forward_vector"], "qsnn_backward_vector"],
        ),
    ],
    ids=["ternary", "measured"],
)
def test_one_launch_a_sequence_or_one_a_step(parameters, names, asked):
    x_seq, v = inputs((5, 3, 40))
    one = torch.tensor(1.0)
    arguments = Inputs(x_seq, v, one, one, torch.tensor(True), one)
    kernel = parameters.variant(), tuple(parameters.numbers())
    saved = cupy.forward(arguments, *kernel)[3:6]
    cupy.backward(x_seq, None, *saved, arguments, *kernel)
    launched = [call for call in asked if call[0].startswith("qsnn")]
    assert [name for name, *_ in launched] == names
    assert launched[-1][4] == 5 * 128 * 16, "h of five steps, 16 bytes a thread"


def test_memory_that_is_not_aligned_takes_more_blocks_and_a_sum_for_each(asked, monkeypatch):
    """What a block sums has its place also where a gradient's memory turns vectors to scalars."""
    x_seq, v = inputs((2, 256))
    unaligned = torch.zeros(x_seq.numel() + 1)[1:].view(x_seq.shape)
    assert unaligned.data_ptr() % 16 > 0
    shapes, empty = [], torch.Tensor.new_empty
    parameters = Parameters(threshold=LEARNED)
    kernel = parameters.variant(), tuple(parameters.numbers())
    arguments = Inputs(x_seq, v, torch.tensor(1.0))
    saved = cupy.forward(arguments, *kernel)[3:6]

    def new_empty(x_seq, *shape, dtype):
        if dtype == torch.float64:
            shapes.append(shape)
        return empty(x_seq, *shape, dtype=dtype)

    monkeypatch.setattr(torch.Tensor, "new_empty", new_empty)
    cupy.backward(unaligned, None, *saved, arguments, *kernel)
    name, grid, *_ = asked[-1]
    assert (name, grid, shapes) == ("qsnn_backward_scalar", (2,), [(2, 2)])


@pytest.mark.parametrize("smoothness", [2.0, 60.0], ids=["mirrored", "bump by bump"])
@pytest.mark.parametrize("kind", ["levels", "threshold_centred", "uniform"])
def test_what_goes_with_a_launch_fits_into_4_kib(kind, smoothness):
    """CUDA before 12.1 takes no more."""
    more = {"levels": tuple(range(-128, 128))} if kind == "levels" else {"bits": 8}
    gradient = {"gradient": "stacked", "smoothness": smoothness}
    neuron = Parameters(MembraneSpec(kind=kind, **more, **gradient))
    built = kernel(neuron.variant(), tuple(neuron.numbers()), torch.float32, False)
    assert ctypes.sizeof(Call) + 4 * len(built.numbers) + 4 <= 4096


def test_what_is_missing_is_said(asked, monkeypatch):
    assert cupy.missing() is None
    reasons = {
        "CuPy 12.3.0 is older than 13": stand_in([], "12.3.0"),
        "CuPy cannot build it: RuntimeError: no driver": stand_in(
            [], error=RuntimeError("no driver\n.")
        ),
    }
    for reason, module in reasons.items():
        for function in (cupy.compiled, cupy.missing, cupy.refused):
            function.cache_clear()
        monkeypatch.setitem(sys.modules, "cupy", module)
        assert cupy.missing() == reason
    cupy.missing.cache_clear()
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert cupy.missing().startswith("CuPy cannot be imported: ")


def test_without_cuda_s_headers_the_wheel_that_has_them_is_named(asked, monkeypatch):
    error = RuntimeError('a.cu(1): catastrophic error: cannot open source file "vector_types.h"')
    monkeypatch.setitem(sys.modules, "cupy", stand_in([], error=error))
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert "pip install 'cupy-cuda12x[ctk]'" in cupy.missing()


def test_a_rarer_neuron_whose_kernel_cannot_be_built_is_left_to_the_reference(
    asked, monkeypatch, caplog
):
    assert cupy.missing() is None
    error = RuntimeError("ptxas: out of registers")
    monkeypatch.setitem(sys.modules, "cupy", stand_in([], error=error))
    with FakeTensorMode(), caplog.at_level(logging.WARNING, "qsnn_plugins.ops"):
        x_seq, v, one = (torch.empty(size, device="cuda") for size in ((4, 3), (3,), ()))
        rare = Parameters(tau=3.0, v_reset=-0.25)
        assert operator.quantized_lif(x_seq, v, one, rare) is None
        with pytest.raises(BackendError, match="'cupy' cannot run: CuPy cannot build it: Runtime"):
            operator.quantized_lif(x_seq, v, one, rare, is_named=True)
    (record,) = caplog.records
    assert "CUDA kernel: CuPy cannot build it: RuntimeError: ptxas: out" in record.message


@pytest.mark.slow
def test_the_package_imports_without_cupy():
    code = (
        "import sys; sys.modules['cupy'] = None; from qsnn_plugins.ops import quantized_lif; "
        "print('cupy' in sys.modules and sys.modules['cupy'])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "None"
