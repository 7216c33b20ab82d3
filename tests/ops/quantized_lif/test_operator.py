"""The operator as torch sees it: its gradients, its memory, and what compiles and casts it."""

from types import SimpleNamespace

import pytest
import torch

from qsnn_plugins.errors import BackendError
from qsnn_plugins.ops.quantized_lif import Parameters, cpp, operator, quantized_lif
from qsnn_plugins.ops.quantized_lif.schema import Inputs
from tests.ops.quantized_lif.cases import (
    LEARNED,
    UNIFORM,
    assert_one_output_may_be_used,
    inputs,
    run,
)
from tests.toolchain import needs_compiler

pytestmark = [needs_compiler, pytest.mark.usefixtures("fresh_memory_is_nan")]


@pytest.mark.parametrize("used", ["spikes", "last"])
def test_one_output_alone_may_be_used(used):
    assert_one_output_may_be_used(used, 37)


def test_second_derivatives_are_refused():
    x_seq, v = inputs((3, 5))
    leaf = x_seq.requires_grad_()
    spikes = quantized_lif(leaf, v, 1.0, Parameters(), backend="cpp")[0]
    (grad,) = torch.autograd.grad(spikes.square().sum(), leaf, create_graph=True)
    with pytest.raises(BackendError, match="no second derivatives; QSNN_BACKEND=reference"):
        grad.square().sum().backward()


def test_the_kernel_is_what_runs(monkeypatch):
    libraries, calls = cpp.library, []

    def counted(flags):
        def call(name):
            kernel = getattr(libraries(flags), name)
            return lambda *arguments: (calls.append(name), kernel(*arguments))

        names = ("qsnn_forward", "qsnn_backward")
        return SimpleNamespace(**{name: call(name) for name in names})

    monkeypatch.setattr(cpp, "library", counted)
    cpp.loaded.cache_clear()
    x_seq, v = inputs((2, 5))
    run(Parameters(), x_seq, v, 1.0, None)
    assert calls == ["qsnn_forward", "qsnn_backward"]
    run(Parameters(), x_seq, v, 1.0, "reference")
    assert len(calls) == 2
    cpp.loaded.cache_clear()


def test_four_bytes_a_neuron_and_step_are_saved():
    x_seq, saved = torch.randn(4, 8, 25, requires_grad=True) * 1.0, {}

    def keep(tensor):
        saved[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        quantized_lif(x_seq, 0.0, torch.tensor(1.0), Parameters(threshold=LEARNED), backend="cpp")
    assert saved.pop(x_seq.data_ptr()) == 4.0 * x_seq.numel()
    assert sum(saved.values()) < 20, "the state, the threshold and what is not used"


@pytest.mark.parametrize(
    "parameters",
    [
        Parameters(threshold=LEARNED),
        Parameters(UNIFORM[2][0], scale="running", decays=True),
        Parameters(has_rate=True),
    ],
    ids=["ternary", "3 bits", "learned leak"],
)
def test_the_operators_are_registered_in_full(parameters):
    x_seq, v = inputs((3, 5))
    threshold = torch.tensor(1.0, requires_grad=True)
    leak = torch.tensor(0.5, requires_grad=parameters.has_rate)
    more = torch.tensor(1.25), torch.tensor(True), leak
    kernel = parameters.variant(leak_learns=parameters.has_rate), parameters.numbers()
    for state in (v.requires_grad_(), torch.tensor(0.0)):
        given = Inputs(x_seq.clone().requires_grad_(), state, threshold, *more)
        torch.library.opcheck(operator.forward, (*given, *kernel))
    saved = operator.forward(*given, *kernel)[3:6]
    detached = (None if tensor is None else tensor.detach() for tensor in given)
    first = torch.randn(3, 5), torch.randn(5), *saved
    torch.library.opcheck(operator.backward, (*first, *detached, *kernel))


def test_compiled_it_is_one_node():
    seen = []

    def backend(module, _):
        seen.extend(node.target for node in module.graph.nodes if node.op == "call_function")
        return module

    parts = Parameters(threshold=LEARNED)

    def neuron(x_seq, threshold):
        built = Parameters(parts.membrane, parts.spike, parts.threshold, tau=2.0)
        return quantized_lif(x_seq, 0.0, threshold, built)[0]

    torch._dynamo.reset()
    compiled = torch.compile(neuron, fullgraph=True, backend=backend)
    x_seq, _ = inputs((3, 50))
    threshold = torch.tensor(1.0, requires_grad=True)
    assert torch.equal(compiled(x_seq, threshold), neuron(x_seq, threshold))
    assert seen.count(torch.ops.qsnn_plugins.quantized_lif.default) == 1
    assert not any("quantized" not in str(target) and "mul" in str(target) for target in seen)


def test_it_runs_under_autocast():
    layer = torch.nn.Linear(6, 10)
    x = torch.randn(4, 3, 6)
    with torch.autocast("cpu", torch.bfloat16):
        currents = layer(x)
        spikes, *_ = quantized_lif(currents, 0.0, 0.2, Parameters(), backend="cpp")
        expected, *_ = quantized_lif(currents, 0.0, 0.2, Parameters(), backend="reference")
    assert spikes.dtype == torch.bfloat16
    assert torch.equal(spikes, expected)
    spikes.sum().backward()
    assert layer.weight.grad.abs().sum() > 0
