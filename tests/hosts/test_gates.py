"""Gates of channels: known before the convolution runs, learned, skipped; in both hosts."""

import copy
import pickle

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import neuron
from torch import nn
from torch.utils.checkpoint import checkpoint

from qsnn_plugins import allow_spec_changes, inject, load, save
from qsnn_plugins.errors import ArgumentError, ExportError, QSNNError
from qsnn_plugins.export import to_integer
from qsnn_plugins.models import ResidualNet, StringNet
from qsnn_plugins.nn import ChannelGate, channel_gates
from qsnn_plugins.ops.quantized_lif import cpp
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec
from tests.toolchain import needs_compiler

HOSTS = ["spikingjelly", "snntorch"]
LAYERS = "8C3-8C3-AP2-6DW-GAP-FC5-FC3"


def spec(fidelity="paper", **membrane):
    pruning = PruningSpec(0.3, channel_threshold=0.48, fidelity=fidelity)
    return QuantSpec(MembraneSpec(**membrane), pruning=pruning)


def events(*shape, seed=0, rate=0.5):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < rate).float() * 2


def wide_gates(network, seed=3):
    """Draw predictors that open some channels and close others."""
    generator = torch.Generator().manual_seed(seed)
    for gate in channel_gates(network).values():
        gate.weight.data = torch.randn(gate.weight.shape, generator=generator) * 8
        gate.bias.data = torch.randn(gate.bias.shape, generator=generator) * 0.5
    return network


def built(host="spikingjelly", fidelity="paper", **membrane):
    torch.manual_seed(0)
    return wide_gates(StringNet(LAYERS, spec=spec(fidelity, **membrane), host=host))


def noting(masks):
    return lambda gate, inputs, mask: masks.append(mask.detach())


def neurons_of(network):
    return [m for m in network.modules() if hasattr(m, "stored_means")]


@pytest.mark.parametrize("fidelity", ["paper", "released"])
@pytest.mark.parametrize("host", HOSTS)
def test_the_mask_is_known_before_the_convolution_runs_and_is_that_of_numpy(host, fidelity):
    network, x = built(host, fidelity), events(4, 3, 2, 8, 8)
    synapse, seen = network.blocks.conv2.synapse, {}
    convolution, norm = synapse[0], synapse[1]
    source = neurons_of(network.blocks.conv1)[0]
    stored = []
    if host == "spikingjelly":
        source.store_v_seq = True
    else:
        source.register_forward_hook(lambda *_: stored.append(source.mem.detach().clone()))

    def before(module, inputs):
        seen["mask"], seen["x"] = module.gate.mask.detach().clone(), inputs[0].detach().clone()

    convolution.register_forward_pre_hook(before)
    norm.register_forward_hook(lambda module, inputs, output: seen.update(masked=output.detach()))
    plain = []
    handle = norm.register_forward_hook(lambda *values: plain.append(values[2]), prepend=True)
    network(x)
    handle.remove()

    q = (source.v_seq if host == "spikingjelly" else torch.stack(stored)).detach().double().numpy()
    weight = convolution.gate.weight.detach().double().numpy()
    bias = convolution.gate.bias.detach().double().numpy()
    if fidelity == "paper":
        watched = q.mean((3, 4)).reshape(12, 8)
    else:
        inputs = seen["x"].double().numpy()[:, ::4, ::4, ::4].mean((2, 3))
        watched = np.exp(inputs) / np.exp(inputs).sum(1, keepdims=True)
    is_open = 1 / (1 + np.exp(-(watched @ weight.T + bias))) > 0.48
    assert 0.1 < is_open.mean() < 0.9
    assert np.array_equal(seen["mask"].numpy(), is_open)
    expected = np.where(is_open[:, :, None, None], plain[0].detach().numpy(), 0.0)
    assert np.array_equal(seen["masked"].numpy(), expected)


@pytest.mark.parametrize("host", HOSTS)
def test_the_predictor_learns_and_the_released_one_does_not(host):
    for fidelity, learns in (("paper", True), ("released", False)):
        network = built(host, fidelity)
        network(events(4, 3, 2, 8, 8)).square().sum().backward()
        gates = channel_gates(network)
        assert list(gates) == [f"blocks.conv{i}.synapse.{i // 3}" for i in (1, 2, 3)][learns:]
        for gate in gates.values():
            assert gate.weight.requires_grad is learns
            assert bool(gate.weight.grad is not None and gate.weight.grad.any()) is learns


def test_both_hosts_are_alike():
    ours, theirs = built("spikingjelly"), built("snntorch")
    x = events(4, 3, 2, 8, 8)
    results = []
    for network in (ours, theirs):
        out = network(x)
        out.square().sum().backward()
        results.append([out, *(p.grad for p in network.parameters())])
    for mine, other in zip(*results, strict=True):
        torch.testing.assert_close(mine, other)


@needs_compiler
@pytest.mark.parametrize(
    "membrane", [{}, {"kind": "uniform", "bits": 3, "scale": "learned"}], ids=str
)
@pytest.mark.parametrize("host", HOSTS)
def test_the_kernel_and_the_loop_are_alike(host, membrane, monkeypatch):
    results, calls, kernel = [], [], cpp.forward
    monkeypatch.setattr(cpp, "forward", lambda *a: (calls.append(1), kernel(*a))[1])
    for backend in ("cpp", "reference"):
        monkeypatch.setenv("QSNN_BACKEND", backend)
        network = built(host, **membrane)
        masks = []
        for gate in channel_gates(network).values():
            gate.register_forward_hook(noting(masks))
        out = network(events(4, 3, 2, 8, 8))
        out.square().sum().backward()
        results.append((out, masks, [p.grad for p in network.parameters()]))
    assert len(calls) == 4
    (out, masks, gradients), (its_out, its_masks, its_gradients) = results
    assert all(map(torch.equal, masks, its_masks))
    torch.testing.assert_close(out, its_out)
    torch.testing.assert_close(gradients, its_gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fidelity", ["paper", "released"])
@pytest.mark.parametrize("host", HOSTS)
def test_skipping_is_masking(host, fidelity, monkeypatch):
    """One sample alone, whose masked channels are not computed, is that sample in its batch."""
    network, x = built(host, fidelity).eval(), events(5, 3, 2, 8, 8)
    convolved = []
    run = nn.Conv2d._conv_forward

    def counted(self, x, weight, bias):
        convolved.append(len(weight) * len(x))
        return run(self, x, weight, bias)

    monkeypatch.setattr(nn.Conv2d, "_conv_forward", counted)
    with torch.no_grad():
        together = network(x)
        in_full = sum(convolved) / 3
        for i in range(3):
            network.reset_states()
            convolved.clear()
            alone = network(x[:, i : i + 1])
            torch.testing.assert_close(alone, together[:, i : i + 1])
            # released gates do not know how many of the maps are steps
            assert sum(convolved) < in_full if fidelity == "paper" else sum(convolved) == in_full
            network.reset_states()
            for gate in channel_gates(network).values():
                gate.skips = False
            assert torch.equal(network(x[:, i : i + 1]).argmax(-1), alone.argmax(-1))
            for gate in channel_gates(network).values():
                gate.skips = True


def test_where_every_channel_is_masked_nothing_flows():
    network = built().eval()
    gate = channel_gates(network)["blocks.conv2.synapse.0"]
    gate.weight.data.zero_()
    gate.bias.data.fill_(-1.0)
    currents = []
    network.blocks.conv2.neuron.register_forward_pre_hook(lambda _, x: currents.append(x[0]))
    with torch.no_grad():
        network(events(4, 1, 2, 8, 8))
    assert not currents[0].any()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_a_checkpoint_is_decided_as_its_first_pass_was(use_reentrant, training):
    """Step by step, where the membranes have moved on by the time of the second pass."""

    class Net(nn.Module):
        checkpointed = False

        def __init__(self):
            super().__init__()
            torch.manual_seed(1)
            self.conv1, self.lif1 = nn.Conv2d(2, 6, 3), neuron.IFNode(v_reset=0.0)
            self.conv2, self.lif2 = nn.Conv2d(6, 5, 3), neuron.IFNode(v_reset=0.0)

        def forward(self, x_seq):
            out = 0
            for x in x_seq:
                spikes = self.lif1(self.conv1(x) * 3)
                if self.checkpointed:
                    current = checkpoint(self.conv2, spikes, use_reentrant=use_reentrant)
                else:
                    current = self.conv2(spikes)
                out = out + self.lif2(current * 3).mean((2, 3))
            return out

    x, gradients = events(4, 3, 2, 8, 8), []
    for checkpointed in (False, True):
        network = Net()
        gated = QuantSpec(pruning=PruningSpec(channel_threshold=0.48))
        report = inject(network, gated, example_input=x)
        assert [row.source for row in report.gates] == ["", "lif1"]
        wide_gates(network).train(training).checkpointed = checkpointed
        network(x).square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    assert all(g.abs().max() > 0 for g in gradients[0])
    torch.testing.assert_close(*gradients)


def test_the_branch_of_a_residual_block_is_gated_and_its_shortcut_is_not():
    torch.manual_seed(0)
    network = wide_gates(ResidualNet(20, width=0.5, spec=spec()))
    block = network.blocks.stage2[0]
    assert "gate" in dict(block.synapse1[0].named_children())
    assert "gate" in dict(block.synapse2[0].named_children())
    assert not channel_gates(block.shortcut)
    assert block.synapse1[0].gate.sources == [network.blocks.stage1[2].neuron2]
    assert block.synapse2[0].gate.sources == [block.neuron1]
    gate = block.synapse2[0].gate
    gate.weight.data.zero_()
    gate.bias.data.fill_(-1.0)
    seen = {}
    block.shortcut.register_forward_hook(lambda _, x, out: seen.update(shortcut=out))
    block.neuron2.register_forward_pre_hook(lambda _, x: seen.update(current=x[0]))
    network(events(3, 2, 3, 16, 16)).sum().backward()
    assert seen["shortcut"].any()
    assert torch.equal(seen["current"], seen["shortcut"])


@pytest.mark.parametrize("host", HOSTS)
def test_copies_and_files_have_gates_of_their_own(host, tmp_path):
    network, x = built(host), events(4, 2, 2, 8, 8)
    network(x).sum().backward()
    network.reset_states()
    save(network, tmp_path / "network.safetensors")
    others = [
        copy.deepcopy(network),
        pickle.loads(pickle.dumps(network)),
        load(tmp_path / "network.safetensors"),
    ]
    expected = network.eval()(x)
    for other in others:
        gates, own = channel_gates(other.eval()), channel_gates(network)
        assert gates.keys() == own.keys()
        for name, gate in gates.items():
            assert gate.layer is other.get_submodule(name)
            assert set(gate.sources) <= set(other.modules())
            assert torch.equal(gate.weight, own[name].weight)
        assert torch.equal(other(x), expected)


def test_a_state_says_what_its_gates_are():
    network = built()
    other = StringNet(LAYERS, spec=QuantSpec(pruning=PruningSpec(0.3, channel_threshold=0.3)))
    with pytest.raises(RuntimeError, match=r"gate: threshold is 0\.48 in the state, 0\.3 here"):
        other.load_state_dict(network.state_dict())


def test_a_state_without_gates_may_be_loaded_and_they_begin_anew():
    torch.manual_seed(1)
    plain, gated = StringNet(LAYERS, spec=QuantSpec(pruning=PruningSpec(0.3))), built()
    before = {name: gate.weight.clone() for name, gate in channel_gates(gated).items()}
    with pytest.raises(RuntimeError, match=r"pruning\.channel_threshold is None in the state"):
        gated.load_state_dict(plain.state_dict())
    with allow_spec_changes():
        gated.load_state_dict(plain.state_dict())
    assert torch.equal(gated.blocks.conv2.synapse[0].weight, plain.blocks.conv2.synapse[0].weight)
    for name, gate in channel_gates(gated).items():
        assert torch.equal(gate.weight, before[name])


def test_what_does_not_fit_is_named():
    network = built()
    convolution = network.blocks.conv2.synapse
    with pytest.raises(QSNNError, match="have not run before it"):
        convolution(torch.zeros(4, 3, 8, 8, 8))
    network.blocks.conv1(events(4, 3, 2, 8, 8))
    with pytest.raises(QSNNError, match="a gate decided for 12 maps, and its convolution made 8"):
        convolution(torch.zeros(4, 2, 8, 8, 8))
    with pytest.raises(ArgumentError, match="channel_threshold=None"):
        ChannelGate(PruningSpec(), 2, 2)
    gate = ChannelGate(spec().pruning, 2, 2)
    with pytest.raises(ArgumentError, match="sources='LIFNode'"):
        gate.attach(nn.Conv2d(2, 2, 1), nn.Identity(), [neuron.LIFNode()])
    with pytest.raises(ExportError, match=r"blocks\.conv2\.synapse\.0 has a channel gate"):
        to_integer(built(), events(4, 1, 2, 8, 8))
