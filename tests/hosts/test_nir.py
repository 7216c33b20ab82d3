"""NIR takes what is trained once the hosts' neurons are back, weights as they were quantized."""

import nir
import pytest
import snntorch as snn
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from qsnn_plugins import eject, inject, presets
from qsnn_plugins.errors import QSNNError

pytestmark = pytest.mark.filterwarnings("ignore")


def test_spikingjelly_there_and_back(tmp_path):
    from spikingjelly.activation_based.nir_exchange import export_to_nir, import_from_nir

    torch.manual_seed(0)
    network = nn.Sequential(
        layer.Linear(6, 8), neuron.LIFNode(), layer.Linear(8, 3), neuron.IFNode()
    )
    inject(network, presets.imsnn(weight_bits=4))
    quantized = [network[i].weight.detach().clone() for i in (0, 2)]
    with pytest.raises(QSNNError, match="to_integer"):
        export_to_nir(network, torch.rand(1, 6))
    nir.write(tmp_path / "network.nir", export_to_nir(eject(network, baked=True), torch.rand(1, 6)))
    back = import_from_nir(nir.read(tmp_path / "network.nir"))
    assert [type(module) for module in network[1::2]] == [neuron.LIFNode, neuron.IFNode]
    assert all(torch.equal(network[i].weight, q) for i, q in zip((0, 2), quantized, strict=True))
    functional.reset_net(network)
    state, sent = None, 0
    for x in 9 * torch.rand(8, 1, 6):
        spikes, state = back(x, state)
        assert torch.equal(spikes, network(x))
        sent += int(spikes.sum())
    assert sent


def test_a_folded_normalization_goes_there():
    from spikingjelly.activation_based.nir_exchange import export_to_nir
    from torch.nn.utils.fusion import fuse_linear_bn_weights

    torch.manual_seed(0)
    network = nn.Sequential(layer.Linear(6, 8), layer.BatchNorm1d(8), neuron.LIFNode())
    inject(network, presets.imsnn(weight_bits=4))
    functional.set_step_mode(network, "m")
    network(9 * torch.rand(4, 2, 6))
    linear, norm, lif = eject(network, baked=True).eval()
    x = 9 * torch.rand(8, 3, 6)
    functional.reset_net(network)
    wanted = network(x).detach()
    functional.set_step_mode(network, "s")
    with pytest.raises(Exception, match="control flow"):  # the host's
        export_to_nir(network, x[0, :1])
    linear.weight, linear.bias = fuse_linear_bn_weights(
        linear.weight, linear.bias, norm.running_mean, norm.running_var, norm.eps,
        norm.weight, norm.bias,
    )  # fmt: skip
    folded = nn.Sequential(linear, lif)
    functional.reset_net(folded)
    assert torch.equal(torch.stack([folded(step) for step in x]), wanted)
    assert wanted.any()
    functional.reset_net(folded)
    assert len(export_to_nir(folded, x[0, :1]).nodes) == 4


def test_snntorch_there_and_back(tmp_path):
    from snntorch.export_nir import export_to_nir
    from snntorch.import_nir import import_from_nir

    torch.manual_seed(0)

    def lif(count, beta, **how):
        leak, threshold = torch.full((count,), beta), torch.ones(count)
        return snn.Leaky(leak, threshold, init_hidden=True, reset_mechanism="zero", **how)

    network = nn.Sequential(nn.Linear(6, 8), lif(8, 0.9), nn.Linear(8, 3), lif(3, 0.8, output=True))
    inject(network, presets.imsnn(weight_bits=4))
    quantized = network[0].weight.detach().clone()
    with pytest.raises((QSNNError, ValueError)) as caught:
        export_to_nir(network, torch.rand(1, 6), ignore_dims=[0])
    # nirtorch complains of the graph that it has not finished, on top of it
    assert "to_integer" in str(caught.value) + str(caught.value.__context__)
    graph = export_to_nir(eject(network, baked=True), torch.rand(1, 6), ignore_dims=[0])
    nir.write(tmp_path / "network.nir", graph)
    back = nir.read(tmp_path / "network.nir")
    weights = [node.weight for node in back.nodes.values() if hasattr(node, "weight")]
    assert any(torch.equal(torch.as_tensor(weight), quantized) for weight in weights)
    leaks = [node for node in back.nodes.values() if isinstance(node, nir.LIF)]
    assert len(leaks) == 2
    assert import_from_nir(back) is not None
