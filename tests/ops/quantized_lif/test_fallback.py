"""What runs on a GPU where its kernel does not cover a neuron, as far as a CPU can tell."""

import importlib.util
import logging
import shutil
from types import SimpleNamespace

import pytest
import torch

from qsnn_plugins.debug import debugging
from qsnn_plugins.errors import BackendError
from qsnn_plugins.ops.quantized_lif import (
    Parameters,
    backends,
    compiled,
    fallback,
    quantized_lif,
    reference,
)
from qsnn_plugins.spec import PruningSpec
from tests.ops.quantized_lif.cases import LEARNED, inputs

MASKS = PruningSpec(spatial_ratio=0.3)
LEARNS = torch.tensor(0.5, requires_grad=True)
COVERED = torch.tensor(0.5)


class OnGpu:
    """What the choice asks of a tensor, as one on a GPU answers."""

    device = SimpleNamespace(type="cuda", index=0)
    is_cuda = True

    def __init__(self, *shape, dtype=torch.float32):
        self.shape, self.dtype = torch.Size(shape), dtype

    def dim(self):
        return len(self.shape)

    def __len__(self):
        return self.shape[0]


@pytest.fixture(autouse=True)
def _triton_and_a_compiler(monkeypatch):
    monkeypatch.delenv("QSNN_BACKEND", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    backends._warn.cache_clear()


def chosen(x_seq=None, **more):
    x_seq = x_seq or OnGpu(4, 2, 3, 5)
    return backends.choose(x_seq, OnGpu(*x_seq.shape[1:]), OnGpu(), **more)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"leak": LEARNS}, "the leak learns"),
        ({"leak": torch.full((3, 1), 0.5)}, "the leak has the shape (3, 1)"),
        ({"pruning": MASKS}, "membranes are masked before they fire"),
        ({"returns_states": True}, "the stored membranes of all steps are wanted"),
    ],
)
def test_what_the_cuda_kernel_does_not_cover_is_compiled(given, reason, caplog):
    with caplog.at_level(logging.WARNING, "qsnn_plugins.ops"):
        assert [chosen(**given) for _ in range(2)] == ["compiled", "compiled"]
    (record,) = caplog.records
    text = "the neuron runs on the compiled reference, not on the CUDA kernel: "
    assert record.message == text + reason
    with pytest.raises(BackendError, match="backend 'cupy' cannot run: "):
        chosen(backend="cupy", **given)


def test_nothing_else_is_compiled(monkeypatch, caplog):
    monkeypatch.setattr(backends, "_missing", lambda kernel: "CuPy cannot be imported")
    assert chosen(leak=COVERED) == "reference"
    assert chosen(OnGpu(4, 2, 3, 5, dtype=torch.float64), leak=LEARNS) == "reference"
    with debugging():
        assert chosen(leak=LEARNS) == "reference"
    x_seq, v = inputs((4, 2, 3))
    assert backends.choose(x_seq, v, COVERED, leak=torch.full((3,), 0.5)) == "reference"
    monkeypatch.setattr(backends, "_missing", lambda kernel: None)
    assert chosen(leak=COVERED) == "cupy"


@pytest.mark.parametrize("lack", ["Triton", "a compiler", "time"])
def test_why_it_is_not_compiled_is_said(lack, monkeypatch, caplog):
    steps = 4
    if lack == "Triton":
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    elif lack == "a compiler":
        monkeypatch.delenv("CC", raising=False)
        monkeypatch.setattr(shutil, "which", lambda name: None)
    else:
        steps = fallback.LONGEST + 1
    with caplog.at_level(logging.WARNING, "qsnn_plugins.ops"):
        assert chosen(OnGpu(steps, 2, 3, 5), leak=LEARNS) == "reference"
    (record,) = caplog.records
    said = {
        "Triton": "there is no Triton to compile it",
        "a compiler": "Triton finds no C compiler",
        "time": "33 steps are too many to compile",
    }[lack]
    text = "the neuron runs on the reference, not on the CUDA kernel: the leak learns; "
    assert record.message == text + said


@pytest.fixture
def traced(monkeypatch):
    """torch.compile without the compiler behind it, which takes minutes on a loaded machine."""
    compile_ = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda *a, **k: compile_(*a, backend="aot_eager", fullgraph=True, **k)
    )
    compiled._compiled.cache_clear()
    compiled.failed.clear()
    yield
    compiled._compiled.cache_clear()
    compiled.failed.clear()


def results(run, parameters, shape, decay):
    x_seq, v = inputs(shape)
    threshold = torch.tensor(0.75, requires_grad=True)
    leaves = [x_seq.requires_grad_(), threshold]
    if decay is not None:
        decay = decay.clone().requires_grad_()
        leaves.append(decay)
    spikes, last, *measured = run(x_seq, v, threshold, parameters, decay=decay)
    up = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(1))
    return spikes, last, *measured, *torch.autograd.grad((spikes * up).sum() + last.sum(), leaves)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "decay"),
    [
        (Parameters(threshold=LEARNED, has_rate=True), torch.tensor(0.5)),
        (
            Parameters(threshold=LEARNED, decays=True, fires_at_threshold=False),
            torch.tensor([[0.25], [0.5], [0.75]]),
        ),
        (Parameters(threshold=LEARNED, pruning=MASKS), None),
        (Parameters(threshold=LEARNED, returns_states=True), None),
    ],
    ids=["learned rate", "decay per channel", "masked", "all states"],
)
def test_compiled_it_is_the_reference(parameters, decay, traced):
    for shape in ((3, 2, 3, 5), (3, 4, 3, 7)):
        ours = results(compiled.quantized_lif, parameters, shape, decay)
        theirs = results(reference.quantized_lif, parameters, shape, decay)
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, other)
    assert not compiled.failed


def test_what_torch_cannot_compile_runs_on_the_reference(monkeypatch, caplog):
    def broken(*_, **__):
        raise torch._dynamo.exc.BackendCompilerFailed("inductor", RuntimeError("no room"), None)

    monkeypatch.setattr(compiled, "_compiled", lambda *kind: broken)
    monkeypatch.setattr(compiled, "failed", set())
    x_seq, v = inputs((2, 3))
    arguments = x_seq, v, COVERED, Parameters(has_rate=True)
    with caplog.at_level(logging.WARNING, "qsnn_plugins.ops"):
        for _ in range(2):
            spikes, *_ = compiled.quantized_lif(*arguments, decay=COVERED)
    expected, *_ = reference.quantized_lif(*arguments, decay=COVERED)
    assert torch.equal(spikes, expected)
    (record,) = caplog.records
    assert (
        "not on the CUDA kernel: torch cannot compile it: BackendCompilerFailed" in record.message
    )


def test_other_errors_are_raised(monkeypatch):
    def out_of_memory(*_, **__):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(compiled, "_compiled", lambda *kind: out_of_memory)
    x_seq, v = inputs((2, 3))
    with pytest.raises(torch.OutOfMemoryError):
        compiled.quantized_lif(x_seq, v, COVERED, Parameters())


@pytest.mark.parametrize("through", ["operator", "neuron"])
def test_both_ways_in_take_it(through, monkeypatch, caplog):
    """The choice is made where the operator is called, and where a host's neuron is."""
    calls, own = [], compiled.quantized_lif
    monkeypatch.setattr(backends, "instead", lambda device, steps: ("compiled", ""))
    monkeypatch.setattr(compiled, "_compiled", lambda *kind: reference.Cell.run)
    monkeypatch.setattr(
        compiled, "quantized_lif", lambda *a, **k: (calls.append(1), own(*a, **k))[1]
    )
    x_seq, v = inputs((4, 2, 3))
    beta = torch.tensor([0.25, 0.5, 0.75])
    if through == "operator":
        parameters = Parameters(decays=True, fires_at_threshold=False)
        ours = quantized_lif(x_seq, v, 1.0, parameters, decay=beta)[0]
        backend = {"backend": "reference"}
        theirs = quantized_lif(x_seq, v, 1.0, parameters, decay=beta, **backend)[0]
    else:
        pytest.importorskip("snntorch")
        from qsnn_plugins.snntorch import MultiStep, TernaryLeaky

        def run():
            return MultiStep(TernaryLeaky(beta=beta, init_hidden=True))(x_seq)

        ours = run()
        monkeypatch.setenv("QSNN_BACKEND", "reference")
        theirs = run()
    assert calls == [1]
    assert torch.equal(ours, theirs)
