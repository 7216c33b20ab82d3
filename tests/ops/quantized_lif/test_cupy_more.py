"""The CUDA kernel in all that torch does with it: layouts, graphs, streams, devices, sizes.

Nothing here has run yet, for want of a GPU; `make test-gpu` runs it.
"""

import pytest
import torch
from torch import nn

from qsnn_plugins.errors import BackendError
from qsnn_plugins.ops.quantized_lif import Parameters, compiled, cupy, quantized_lif
from qsnn_plugins.ops.quantized_lif.schema import Inputs
from qsnn_plugins.spec import MembraneSpec, PruningSpec
from tests.ops.quantized_lif.cases import LEARNED, UNIFORM, inputs, run
from tests.ops.quantized_lif.on_gpu import needs_gpu, needs_two_gpus, unaligned

pytestmark = needs_gpu

MEASURED = Parameters(UNIFORM[2][0], threshold=LEARNED, scale="running")
NEURONS = {"ternary": Parameters(threshold=LEARNED), "3 bits, measured": MEASURED}


class Net(nn.Module):
    """A layer of weights and a neuron that learns its threshold."""

    def __init__(self, parameters):
        super().__init__()
        torch.manual_seed(0)
        self.parameters_of_neuron = parameters
        self.weights = nn.Linear(64, 64)
        self.threshold = nn.Parameter(torch.tensor(0.75))

    def forward(self, x_seq):
        charge = self.weights(x_seq)
        more = {"scale": 1.25, "initialized": True, "backend": "cupy"}
        return quantized_lif(charge, 0.0, self.threshold, self.parameters_of_neuron, **more)[0]


def assert_trains_alike(ours, theirs, call, batches=4):
    """Spikes and gradients of both nets are equal, on fresh input each time."""
    generator = torch.Generator("cuda").manual_seed(3)
    for _ in range(batches):
        x_seq, grad = (torch.randn(6, 8, 64, device="cuda", generator=generator) for _ in range(2))
        results = []
        for net, step in ((ours, call), (theirs, theirs)):
            leaf = x_seq.clone().requires_grad_()
            spikes = step(leaf)
            leaves = [leaf, *net.parameters()]
            results.append([spikes.clone(), *torch.autograd.grad(spikes, leaves, grad)])
        assert results[0][0].sum() > 0
        for mine, other in zip(*results, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threshold", [0.75, torch.tensor([0.5, 1.0, 1.25, 0.75, 1.5])])
def test_channels_last_stays_so(threshold):
    threshold = torch.as_tensor(threshold)
    threshold = threshold.reshape(-1, 1, 1) if threshold.dim() else threshold
    x_seq, v = inputs((4, 3, 5, 8, 8))
    last = x_seq.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, (4, 3)).cuda()
    parameters = Parameters(threshold=LEARNED)
    ours = run(parameters, last, v.cuda(), threshold, "cupy")
    theirs = run(parameters, x_seq, v, threshold, "reference")
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        assert torch.equal(mine.cpu(), other)
    for mine, other in zip(ours[3:], theirs[3:], strict=True):
        torch.testing.assert_close(mine.cpu(), other, rtol=1e-5, atol=1e-4)
    with torch.no_grad():
        spikes = quantized_lif(last, 0.0, 1.0, Parameters(), backend="cupy")[0]
    assert spikes.stride() == last.stride()


@pytest.mark.parametrize("neuron", NEURONS)
def test_graphed_callables_train_alike(neuron):
    ours, theirs = (Net(NEURONS[neuron]).cuda() for _ in range(2))
    sample = torch.randn(6, 8, 64, device="cuda", requires_grad=True)
    # the graphed net is the very same object, called in another way
    assert_trains_alike(ours, theirs, torch.cuda.make_graphed_callables(ours, (sample,)))


@pytest.mark.parametrize("neuron", NEURONS)
def test_compiled_to_reduce_overhead_it_trains_alike(neuron):
    ours, theirs = (Net(NEURONS[neuron]).cuda() for _ in range(2))
    call = torch.compile(ours, fullgraph=True, mode="reduce-overhead")

    def step(x_seq):
        torch.compiler.cudagraph_mark_step_begin()
        return call(x_seq)

    assert_trains_alike(ours, theirs, step)


def test_under_autocast_currents_are_bfloat16():
    net = Net(Parameters(threshold=LEARNED)).cuda()
    x_seq = torch.randn(6, 8, 64, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        charge = net.weights(x_seq)
        spikes = net(x_seq)
    assert charge.dtype == spikes.dtype == torch.bfloat16
    parameters = net.parameters_of_neuron
    expected = quantized_lif(charge.cpu(), 0.0, 0.75, parameters, backend="reference")[0]
    assert torch.equal(spikes.cpu(), expected)
    spikes.float().square().mean().backward()
    for parameter in net.parameters():
        assert parameter.grad.dtype == torch.float32
        assert 0 < parameter.grad.abs().sum() < torch.inf


@pytest.mark.parametrize("neuron", NEURONS)
def test_a_backward_from_another_stream_is_in_order(neuron):
    x_seq, v = (each.cuda() for each in inputs((6, 64, 512)))
    grad = torch.randn_like(x_seq)
    more = {"scale": 1.25, "initialized": True, "backend": "cupy"}
    results = []
    for late in (False, True):
        leaf = torch.zeros_like(x_seq, requires_grad=True)
        side, other = torch.cuda.Stream(), torch.cuda.Stream()
        torch.cuda.synchronize()
        with torch.cuda.stream(side):
            if late:
                torch.cuda._sleep(50_000_000)
            with torch.no_grad():
                leaf.copy_(x_seq)
            spikes = quantized_lif(leaf, v, 0.75, NEURONS[neuron], **more)[0]
        with torch.cuda.stream(other):
            other.wait_stream(side)
            up = grad.clone()
            (mine,) = torch.autograd.grad(spikes, leaf, up)
        torch.cuda.synchronize()
        results.append((spikes, mine))
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


@pytest.mark.parametrize("shape", [(4, 2**29 + 1000), (1, 2**31 + 1000), (3, 2**30 + 1001)])
def test_more_than_two_thousand_million_currents(shape):
    needed, (free, _) = 14 * shape[0] * shape[1] + 10 * shape[1], torch.cuda.mem_get_info()
    if free < needed:
        pytest.skip(f"{free >> 30} GiB of the GPU's memory are free, and {needed >> 30} needed")
    x_seq = torch.empty(shape, dtype=torch.float16, device="cuda")
    for step in x_seq:  # a step at a time: nothing wider than half is as large
        step.random_(-40, 60).div_(16)
    grad = x_seq.flip(0)
    starts = {0, max(2**31 % shape[1] - 2048, 0), shape[1] - 4096}
    places = [slice(start, start + 4096) for start in starts]
    small = []
    for place in places:
        leaf = x_seq[:, place].clone().requires_grad_()
        spikes, last, _ = quantized_lif(leaf, 0.0, 1.0, Parameters(), backend="cupy")
        (own,) = torch.autograd.grad(spikes, leaf, grad[:, place].contiguous())
        small.append((spikes.detach(), last.detach(), own))
    x_seq.requires_grad_()
    spikes, last, _ = quantized_lif(x_seq, 0.0, 1.0, Parameters(), backend="cupy")
    (whole,) = torch.autograd.grad(spikes, x_seq, grad)
    for place, (own, own_last, own_grad) in zip(places, small, strict=True):
        assert torch.equal(spikes[:, place], own)
        assert torch.equal(last[place], own_last)
        assert torch.equal(whole[:, place], own_grad)


@pytest.mark.parametrize("steps", [5, 20])
def test_what_is_saved_may_lie_anywhere(steps):
    """A compiler may put what one operator hands to the next wherever it likes."""
    x_seq, v = (each.cuda() for each in inputs((steps, 4, 1024)))
    grad, threshold = torch.randn_like(x_seq), torch.tensor(0.75, device="cuda")
    for parameters in (MEASURED, Parameters(threshold=LEARNED)):
        one, yes = torch.tensor(1.25, device="cuda"), torch.tensor(True, device="cuda")
        results = []
        for place in (torch.clone, unaligned):
            more = (place(one[None])[0], yes) if parameters.measures else ()
            arguments = Inputs(place(x_seq), place(v), place(threshold[None])[0], *more)
            packs = cupy.packs(x_seq, parameters)
            kernel = parameters.variant(packs=packs), tuple(parameters.numbers())
            spikes, last, _, *saved = cupy.forward(arguments, *kernel)
            saved = [place(each) if each.numel() else each for each in saved[:3]]
            up_last = place(torch.ones_like(last))
            grads = cupy.backward(place(grad), up_last, *saved, arguments, *kernel)
            results.append([spikes, last, *grads])
        for aligned, other in zip(*results, strict=True):
            torch.testing.assert_close(other, aligned, rtol=1e-6, atol=1e-6)


@needs_two_gpus
@pytest.mark.parametrize("neuron", NEURONS)
def test_it_trains_on_a_device_that_is_not_the_current_one(neuron):
    x_seq, v = inputs((4, 3, 50))
    expected = run(NEURONS[neuron], x_seq, v, 0.75, "reference")
    with torch.cuda.device(0):
        ours = run(NEURONS[neuron], x_seq.to("cuda:1"), v.to("cuda:1"), 0.75, "cupy")
    assert all(part.device == torch.device("cuda:1") for part in ours)
    for mine, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine.cpu(), other, rtol=1e-5, atol=1e-4)


@needs_two_gpus
def test_a_membrane_on_another_gpu_is_refused():
    x_seq, v = inputs((4, 3, 50))
    with pytest.raises(BackendError, match="v is on the device cuda:1"):
        quantized_lif(x_seq.to("cuda:0"), v.to("cuda:1"), 1.0, Parameters(), backend="cupy")


def test_a_membrane_of_256_levels():
    parameters = Parameters(MembraneSpec(kind="threshold_centred", bits=8), threshold=LEARNED)
    x_seq, v = inputs((20, 3, 500))
    ours = run(parameters, x_seq.cuda(), v.cuda(), 0.75, "cupy")
    theirs = run(parameters, x_seq, v, 0.75, "reference")
    assert torch.equal(ours[0].cpu(), theirs[0])
    assert torch.equal(ours[1].cpu(), theirs[1])


@pytest.mark.parametrize("kind", ["learned rate", "decay per channel", "masked"])
def test_what_the_kernel_does_not_cover_runs_compiled(kind, monkeypatch):
    calls, own = [], compiled.quantized_lif
    monkeypatch.setattr(
        compiled, "quantized_lif", lambda *a, **k: (calls.append(1), own(*a, **k))[1]
    )
    parameters, decay = {
        "learned rate": (Parameters(has_rate=True), torch.tensor(0.5, requires_grad=True)),
        "decay per channel": (
            Parameters(decays=True, fires_at_threshold=False),
            torch.tensor([[0.25], [0.5], [0.75]]),
        ),
        "masked": (Parameters(pruning=PruningSpec(spatial_ratio=0.3)), 0.5),
    }[kind]
    x_seq, v = inputs((4, 2, 3, 50))
    results = []
    for device in ("cuda", "cpu"):
        leaf = x_seq.to(device).requires_grad_()
        leak = decay.to(device) if isinstance(decay, torch.Tensor) else decay
        more = {"backend": None if device == "cuda" else "reference"}
        spikes, last, _ = quantized_lif(leaf, v.to(device), 1.0, parameters, decay=leak, **more)
        (grad,) = torch.autograd.grad((spikes * spikes.detach().cumsum(0)).sum(), leaf)
        results.append([spikes.cpu(), last.cpu(), grad.cpu()])
    assert calls == [1]
    for mine, other in zip(*results, strict=True):
        # a compiled product and sum may round once, and a membrane at a threshold fall on its side
        assert torch.isclose(mine, other, rtol=1e-4, atol=1e-4).float().mean() > 0.99
