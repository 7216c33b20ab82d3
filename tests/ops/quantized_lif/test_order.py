"""Currents that are dense in memory are run as they lie: channels-last ones are not copied."""

import math

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.profiler import ProfilerActivity, profile

from qsnn_plugins.ops.quantized_lif import Parameters, cpp, cupy, operator, quantized_lif
from qsnn_plugins.ops.quantized_lif.order import MemoryOrder
from qsnn_plugins.ops.quantized_lif.schema import Inputs
from qsnn_plugins.spec import ThresholdSpec
from tests.ops.quantized_lif import emulation
from tests.ops.quantized_lif.cases import (
    LEARNED,
    PRUNINGS,
    SEPARATE,
    UNIFORM,
    channels_last,
    inputs,
    masked,
    run,
)
from tests.toolchain import needs_compiler

pytestmark = needs_compiler

NEURONS = {
    "ternary": Parameters(threshold=LEARNED),
    "measured": Parameters(UNIFORM[2][0], threshold=LEARNED, scale="running"),
    "masked": masked(Parameters(threshold=SEPARATE, v_reset=None), PRUNINGS["accumulation"]),
}
THRESHOLDS = {"one": torch.tensor(0.75), "each": torch.tensor([0.5, 1.0, 1.25]).reshape(3, 1, 1)}


@pytest.fixture(params=["cpp", "emulated"])
def kernel(request, monkeypatch):
    """The kernel of the CPU, or of the GPU in its place."""
    if request.param == "emulated":
        monkeypatch.setattr(cupy, "launch", emulation.launch)
        monkeypatch.setattr(cpp, "forward", cupy.forward)
        monkeypatch.setattr(cpp, "backward", cupy.backward)
    return request.param


def copies(recorded, least):
    """What was copied of tensors that have at least so many values."""
    named = ("aten::clone", "aten::copy_", "aten::_to_copy", "aten::contiguous")
    for event in recorded.events():
        large = [shape for shape in event.input_shapes if shape and math.prod(shape) >= least]
        if event.name in named and large:
            yield event.name, large


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("name", NEURONS)
def test_channels_last_gives_channels_last(name, threshold, kernel):
    if name == "masked" and kernel == "emulated":
        pytest.skip("the CUDA kernel masks nothing")
    x_seq, v = inputs((20, 2, 3, 5, 8))
    lying, state = channels_last(x_seq), channels_last(v)
    given = NEURONS[name], THRESHOLDS[threshold]
    straight = run(given[0], x_seq, v, given[1], "cpp")
    ours = run(given[0], lying, state, given[1], "cpp")
    for mine, other in zip(ours[:5], straight[:5], strict=True):
        assert torch.equal(mine, other)
    for mine, other in zip(ours[5:], straight[5:], strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-4)
    assert [ours[part].stride() for part in (0, 3)] == [lying.stride()] * 2
    assert [ours[part].stride() for part in (1, 4)] == [state.stride()] * 2


@pytest.mark.parametrize("name", NEURONS)
def test_nothing_is_copied(name, kernel):
    if name == "masked" and kernel == "emulated":
        pytest.skip("the CUDA kernel masks nothing")
    x_seq, v = (channels_last(each) for each in inputs((4, 2, 3, 5, 8)))
    x_seq.requires_grad_()
    more = {"scale": 1.25, "initialized": True, "backend": "cpp"}
    up = torch.randn_like(x_seq)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as recorded:
        spikes, last, _ = quantized_lif(x_seq, v, 0.75, NEURONS[name], **more)
        torch.autograd.grad([spikes, last], x_seq, [up, v])
    assert not list(copies(recorded, v.numel()))
    spikes.detach_().mul_(2)  # it is no view


def test_the_check_sees_a_copy():
    x_seq = channels_last(torch.ones(4, 2, 3, 5, 8))
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as recorded:
        x_seq.contiguous()
    assert list(copies(recorded, 240))


def test_a_spike_can_be_changed_in_place():
    x_seq, _ = inputs((4, 2, 3, 5, 8))
    leaf = channels_last(x_seq).requires_grad_()
    spikes, *_ = quantized_lif(leaf, 0.0, 0.75, Parameters(), backend="cpp")
    spikes.mul_(2).sum().backward()
    assert leaf.grad.abs().max() > 0


@pytest.mark.parametrize(
    "dims", [(0, 1, 3, 4, 2), (0, 2, 3, 4, 1), (1, 0, 2, 3, 4), (4, 3, 2, 1, 0)]
)
@pytest.mark.parametrize("steps", [3, 20])
def test_shapes_and_strides_are_known_without_values(dims, steps, kernel):
    shape = (steps, 2, 3, 5, 8)
    back = [dims.index(dim) for dim in range(5)]
    x_seq = torch.randn([shape[dim] for dim in dims]).permute(back)
    for learning, threshold in (
        (LEARNED, THRESHOLDS["each"]),
        (ThresholdSpec(), torch.tensor(1.0)),
    ):
        neuron = Parameters(threshold=learning)
        given = Inputs(x_seq, torch.randn(shape[1:]), threshold)
        packs = kernel == "emulated" and cupy.packs(x_seq, neuron)
        named = neuron.variant(packs=packs), neuron.numbers()
        results = []
        for mode in (torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True)):
            with mode:
                forward = operator.forward(*given, *named)
                backward = operator.backward(x_seq, given.v, *forward[3:6], *given, *named)
            results.append(
                [(part.shape, part.dtype, part.stride()) for part in (*forward, *backward)]
            )
        assert results[0] == results[1]
    is_dense = dims[0] == 0
    assert (results[0][0][2] == x_seq.stride()) == is_dense
    assert (MemoryOrder.of(x_seq, named[0]).is_rows) != is_dense


def test_a_network_s_neurons_copy_nothing():
    """Convolutions that lay channels last, and the neurons between them."""
    pytest.importorskip("spikingjelly")
    from qsnn_plugins.models import StringNet
    from qsnn_plugins.spec import QuantSpec

    net = StringNet("8C3-8C3-AP2-GAP-FC10", spec=QuantSpec()).to(memory_format=torch.channels_last)
    strides = []
    for module in net.modules():
        if hasattr(module, "quant_spec"):
            module.register_forward_hook(
                lambda _, given, spikes: strides.append((given[0], spikes))
            )
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as recorded:
        spikes = net(torch.rand(4, 2, 2, 8, 8))
        nn.functional.cross_entropy(spikes.mean(0), torch.tensor([1, 2])).backward()
    maps = [(given, sent) for given, sent in strides if given.dim() == 5]
    assert len(maps) == 2
    for given, sent in maps:
        assert given.stride()[2] == sent.stride()[2] == 1
        assert given.stride() == sent.stride()
    copied = [large for _, large in copies(recorded, 2 * 8 * 8 * 8) for large in large]
    assert [4, 2, 8, 8, 8] not in copied
