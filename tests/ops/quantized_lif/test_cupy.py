"""The CUDA kernel on a GPU: `make test-gpu`. Nothing here has run yet, for want of a GPU.

It is compared with the reference on the CPU: torch on a GPU divides by multiplying with the
inverse, which rounds otherwise.
"""

import pytest
import torch

from qsnn_plugins.ops.quantized_lif import Parameters, cupy, quantized_lif
from qsnn_plugins.spec import MembraneSpec, ThresholdSpec
from tests.ops.quantized_lif.cases import CASES, LEARNED, NAMES, TYPES, UNIFORM, inputs, run
from tests.ops.quantized_lif.on_gpu import needs_gpu, needs_two_gpus, unaligned

pytestmark = [*needs_gpu, pytest.mark.usefixtures("fresh_memory_is_nan")]


def assert_equal(parameters, x_seq, v, threshold, total=1e-5):
    ours = run(parameters, x_seq.cuda(), v.cuda(), threshold, "cupy")
    theirs = run(parameters, x_seq, v, threshold, "reference")
    assert all(part.is_cuda for part in ours)
    for mine, other in zip(ours[:3], theirs[:3], strict=True):
        assert torch.equal(mine.cpu(), other)
    tolerance = max(1e-5, torch.finfo(x_seq.dtype).eps)
    for mine, other in zip(ours[3:5], theirs[3:5], strict=True):
        torch.testing.assert_close(mine.cpu(), other, rtol=tolerance, atol=tolerance)
    for mine, other in zip(ours[5:], theirs[5:], strict=True):
        torch.testing.assert_close(mine.cpu(), other, rtol=total, atol=10 * total)
    return ours


@pytest.mark.parametrize("parameters", CASES, ids=NAMES)
def test_equals_the_reference(parameters):
    for shape in ((5, 3, 7, 12), (5, 3, 7, 11)):
        x_seq, v = inputs(shape)
        if parameters.decay_input:
            x_seq *= 2
        assert_equal(parameters, x_seq, v, 0.75)


@pytest.mark.parametrize("parameters", CASES[::5], ids=NAMES[::5])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("steps", [1, 8, 9, 16, 17, 50])
def test_any_number_of_steps_in_any_type(parameters, dtype, steps):
    x_seq, v = inputs((steps, 2, 1004), dtype=dtype)
    total = 1e-4 if dtype == torch.float32 else 1e-3
    assert_equal(parameters, x_seq, v, 0.75, total)


@pytest.mark.parametrize("shape", [(1, 1), (2,), (3, 5, 0), (7, 4099), (4, 64, 64, 32, 32)])
@pytest.mark.parametrize("kind", ["levels", "float", "uniform"])
def test_any_shape(shape, kind):
    parameters = Parameters(MembraneSpec(kind=kind), threshold=LEARNED, tau=3.0, decay_input=True)
    generator = torch.Generator().manual_seed(5)
    x_seq = torch.randn(shape, generator=generator) * 4
    v = torch.randn(shape[1:], generator=generator)
    assert_equal(parameters, x_seq, v, 0.9, total=1e-3)


@pytest.mark.parametrize("learning", ["fixed", "ordinary", "separate"])
@pytest.mark.parametrize("shape", [(4, 2, 3, 5, 7), (3, 5, 3), (20, 2, 3, 2)])
def test_each_channel_may_have_its_threshold(learning, shape):
    parameters = Parameters(threshold=ThresholdSpec(gradient=learning), v_reset=None)
    thresholds = torch.tensor([0.5, 1.0, 1.25]).reshape(3, *(1,) * (len(shape) - 3))
    assert_equal(parameters, *inputs(shape), thresholds)


def test_memory_that_is_not_aligned_or_not_in_rows():
    x_seq, v = inputs((4, 6, 5, 8))
    parameters = Parameters(threshold=LEARNED)
    straight, _, _ = quantized_lif(x_seq, v, 1.0, parameters, backend="reference")
    on_gpu = x_seq.cuda()
    backwards = on_gpu.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    for other in (backwards, unaligned(on_gpu)):
        leaf = other.detach().requires_grad_()
        spikes, _, _ = quantized_lif(leaf, v.cuda(), 1.0, parameters, backend="cupy")
        assert torch.equal(spikes.cpu(), straight)
        spikes.sum().backward()
        assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("number", [0, 5, 86, 88])
def test_the_same_bits_each_time(number):
    x_seq, v = (each.cuda() for each in inputs((20, 64, 4103)))
    first = run(CASES[number], x_seq, v, 0.75, "cupy")
    for _ in range(10):
        again = run(CASES[number], x_seq, v, 0.75, "cupy")
        assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))


def test_it_runs_on_the_current_stream():
    x_seq, v = (each.cuda() for each in inputs((4, 64, 4096)))
    expected, *_ = quantized_lif(x_seq, v, 1.0, Parameters(), backend="cupy")
    torch.cuda.synchronize()
    stream, late = torch.cuda.Stream(), torch.zeros_like(x_seq)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # a kernel on another stream would not wait for it
        late.copy_(x_seq)
        spikes, *_ = quantized_lif(late, v, 1.0, Parameters(), backend="cupy")
    stream.synchronize()
    assert torch.equal(spikes, expected)


@needs_two_gpus
def test_it_runs_on_the_device_of_its_input():
    x_seq, v = inputs((4, 3, 50))
    expected, *_ = quantized_lif(x_seq, v, 1.0, Parameters(), backend="reference")
    for device in ("cuda:0", "cuda:1"):
        spikes, *_ = quantized_lif(x_seq.to(device), v.to(device), 1.0, Parameters())
        assert spikes.device == torch.device(device)
        assert torch.equal(spikes.cpu(), expected)


@pytest.mark.parametrize("membrane", [MembraneSpec(), UNIFORM[2][0]], ids=["ternary", "3 bits"])
def test_nothing_waits_for_the_gpu(membrane):
    parameters = Parameters(membrane, threshold=LEARNED, scale="running")
    x_seq, v = (each.cuda() for each in inputs((4, 64, 512)))
    threshold = torch.tensor(0.75, device="cuda", requires_grad=True)
    leaf = x_seq.clone().requires_grad_()
    arguments = leaf, v, threshold, parameters, 1.25, True

    def train():
        quantized_lif(*arguments, backend="cupy")[0].sum().backward()

    train()  # builds
    torch.cuda.set_sync_debug_mode("error")
    try:
        train()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_graph_can_be_captured():
    x_seq, v = (each.cuda() for each in inputs((4, 64, 512)))
    expected, *_ = quantized_lif(x_seq, v, 1.0, Parameters(), backend="cupy")
    still, graph = torch.zeros_like(x_seq), torch.cuda.CUDAGraph()
    one = torch.tensor(1.0, device="cuda")
    with torch.cuda.graph(graph):
        spikes, *_ = quantized_lif(still, v, one, Parameters(), backend="cupy")
    still.copy_(x_seq)
    graph.replay()
    assert torch.equal(spikes, expected)


def test_compiled_it_is_the_same():
    x_seq, v = (each.cuda() for each in inputs((20, 3, 500)))
    parameters = Parameters(threshold=LEARNED)

    def neuron(x_seq, threshold):
        return quantized_lif(x_seq, v, threshold, parameters)[0]

    results = []
    for call in (neuron, torch.compile(neuron, fullgraph=True)):
        leaf = x_seq.clone().requires_grad_()
        threshold = torch.tensor(1.0, device="cuda", requires_grad=True)
        spikes = call(leaf, threshold)
        spikes.sum().backward()
        results.append((spikes, leaf.grad, threshold.grad))
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


def test_the_hosts_neuron_runs_on_it(monkeypatch):
    pytest.importorskip("spikingjelly")
    from qsnn_plugins.spikingjelly import TernaryLIFNode

    calls, forward = [], cupy.forward
    monkeypatch.setattr(cupy, "forward", lambda *given: (calls.append(1), forward(*given))[1])
    x_seq, _ = inputs((4, 3, 50))
    node = TernaryLIFNode(tau=2.0, step_mode="m").cuda()
    assert node(x_seq.cuda()).is_cuda
    assert calls == [1]
