"""Third paper, Eq. 4, its sign mended: H = V + (X - (V - V_reset)) / τ, in every network."""

import numpy as np
import pytest
import torch
from torch import nn

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import ResidualNet, StringNet, string_net
from qsnn_plugins.nn import quantized_neurons
from qsnn_plugins.snntorch import MultiStep, QuantLeaky
from qsnn_plugins.spec import QuantSpec
from tests.export.networks import check, counts, waken

TAU = 2.0
HOSTS = ("spikingjelly", "snntorch")


def printed(x_seq, grad_s):
    """Spikes by Eq. 1-5 and the gradient by x of Eq. 11-12, with the triangle for Θ'."""
    v, spikes, charges = np.zeros_like(x_seq[0]), [], []
    for x in x_seq:
        h = v + (x - v) / TAU
        s = (h >= 1).astype(float)
        v = h * (1 - s)
        spikes.append(s), charges.append(h)
    grad_x, grad_v = np.zeros_like(x_seq), np.zeros_like(x_seq[0])
    for t in reversed(range(len(x_seq))):
        h, s = charges[t], spikes[t]
        slope = np.maximum(0, 1 - np.abs(h - 1))
        grad_h = grad_s[t] * slope + grad_v * (1 - s - h * slope)
        grad_x[t], grad_v = grad_h / TAU, grad_h * (1 - 1 / TAU)
    return np.stack(spikes), grad_x


def last_neuron(host, decay_input=True):
    float_spec = QuantSpec.full_precision()
    net = StringNet("2C3-GAP-FC2", 2, spec=float_spec, host=host, decay_input=decay_input)
    return net.blocks.conv1.neuron


@pytest.mark.parametrize("host", HOSTS)
def test_spikes_and_gradients_are_those_of_the_printed_equation(host):
    draw = np.random.default_rng(0)
    x_seq, grad_s = draw.normal(1, 1.5, (7, 3, 2, 5)), draw.normal(size=(7, 3, 2, 5))
    x = torch.tensor(x_seq, requires_grad=True)
    out = last_neuron(host).double()(x)
    spikes, grad_x = printed(x_seq, grad_s)
    assert 0.05 < spikes.mean() < 0.9
    assert (out.detach().numpy() == spikes).all()
    if host == "spikingjelly":  # snnTorch's own neuron detaches its reset
        out.backward(torch.tensor(grad_s))
        np.testing.assert_allclose(x.grad.numpy(), grad_x, rtol=1e-12, atol=1e-14)
    assert (last_neuron(host, False).double()(x).detach().numpy() != spikes).any()


@pytest.mark.parametrize("host", HOSTS)
def test_every_neuron_of_every_network_divides_its_input(host):
    kwargs = {"spec": presets.imsnn(), "host": host, "decay_input": True}
    for net in (
        StringNet("2C3-2C3-GAP-FC2", **kwargs),
        ResidualNet(20, width=1 / 16, **kwargs),
        string_net("decolle", width=1 / 16, **kwargs),
    ):
        neurons = quantized_neurons(net)
        if host == "spikingjelly":
            assert all(neuron.decay_input for neuron in neurons.values())
        else:
            holders = [net.get_submodule(name.rpartition(".")[0]) for name in neurons]
            assert all(holder.gain == 0.5 for holder in holders)
    with pytest.raises(ArgumentError, match=r"decay_input=1 is not allowed"):
        StringNet("2C3-GAP-FC2", decay_input=1)


@pytest.mark.parametrize("gain", [0, -1.0, float("nan"), "a", True])
def test_a_gain_is_a_number_above_0(gain):
    with pytest.raises(ArgumentError, match=r"gain=.* is not allowed: give a number above 0"):
        MultiStep(QuantLeaky(0.5, init_hidden=True), gain)
    assert MultiStep(QuantLeaky(0.5, init_hidden=True), 2).extra_repr() == "gain=2"


@pytest.mark.parametrize("host", HOSTS)
def test_a_state_that_was_trained_otherwise_is_refused(host):
    divided, not_divided = (
        StringNet("2C3-GAP-FC2", host=host, decay_input=divides) for divides in (True, False)
    )
    for here, state in ((divided, not_divided), (not_divided, divided)):
        with pytest.raises(RuntimeError, match=r"decay_input|gain"):
            here.load_state_dict(state.state_dict())


@pytest.mark.parametrize("host", HOSTS)
def test_integers_divide_too(host):
    torch.manual_seed(0)
    net = StringNet("4C3-AP2-6C3-GAP-FC3", 2, host=host, spec=presets.imsnn(), decay_input=True)
    check(waken(net), 3 * counts())


def test_kept_arguments_build_it_again():
    net = StringNet("2C3-GAP-FC2", decay_input=True, init="kaiming_fan_out")
    twin = StringNet(**net.init_args)
    assert twin.blocks.conv1.neuron.decay_input
    assert isinstance(twin, nn.Module)
