"""A state dict says how it was quantized, and is compared where it is loaded."""

import copy
import io
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import qsnn_plugins
from qsnn_plugins import allow_spec_changes, presets
from qsnn_plugins.models import StringNet
from qsnn_plugins.nn import StateFacts, quantize_weights, weight_layers
from qsnn_plugins.snntorch import QuantLapicque, QuantLeaky, TernaryLeaky
from qsnn_plugins.spec import (
    MembraneSpec,
    PruningSpec,
    QuantSpec,
    SpikeSpec,
    ThresholdSpec,
    WeightSpec,
)
from qsnn_plugins.spikingjelly import (
    QuantIFNode,
    QuantLIFNode,
    TernaryLIFNode,
)

UNIFORM = MembraneSpec("uniform", bits=4, scale="fixed")


def lif(**parts):
    return QuantLIFNode(spec=QuantSpec(**parts))


def leaky(**options):
    return QuantLeaky(0.5, **options)


def quantized(seed=0, **options):
    torch.manual_seed(seed)
    layer = nn.Linear(6, 4)
    quantize_weights(layer, WeightSpec(**options))
    return layer


def refusal(module, state, **how):
    with pytest.raises(RuntimeError) as error:
        module.load_state_dict(state, **how)
    _, *lines = str(error.value).splitlines()
    return [line.strip() for line in lines]


DIFFERENT = [
    (
        lif(),
        lif(membrane=MembraneSpec(levels=(-1, 0, 0.5, 1))),
        "membrane.levels is [-1.0, 0.0, 1.0] in the state, [-1.0, 0.0, 0.5, 1.0] here",
    ),
    (
        lif(membrane=UNIFORM),
        lif(membrane=MembraneSpec("uniform", bits=2, scale="fixed")),
        "membrane.bits is 4 in the state, 2 here",
    ),
    (
        lif(membrane=UNIFORM),
        lif(membrane=MembraneSpec("tanh", bits=4, scale="fixed")),
        "membrane.kind is uniform in the state, tanh here",
    ),
    (
        lif(membrane=MembraneSpec("uniform", bits=4, scale="step_max")),
        lif(membrane=MembraneSpec("uniform", bits=4, scale="step_max", evaluation="published")),
        "membrane.evaluation is running in the state, published here",
    ),
    (
        lif(membrane=UNIFORM),
        lif(membrane=MembraneSpec("uniform", bits=4, scale="fixed", scale_value=2)),
        "membrane.scale_value is 1.0 in the state, 2.0 here",
    ),
    (lif(), lif(membrane=MembraneSpec("float")), "membrane.kind is levels in the state, float"),
    (lif(), lif(spike=SpikeSpec(bits=2)), "spike.bits is 1 in the state, 2 here"),
    (
        lif(),
        lif(pruning=PruningSpec(spatial_ratio=0.5)),
        "pruning.spatial_ratio is 0.0 in the state, 0.5 here",
    ),
    (lif(), lif(threshold=ThresholdSpec("ordinary")), "threshold.learned is False in the state"),
    (QuantLIFNode(2.0), QuantLIFNode(3.0), "tau is 2.0 in the state, 3.0 here"),
    (QuantLIFNode(), QuantLIFNode(decay_input=True), "decay_input is False in the state, True"),
    (QuantLIFNode(), QuantLIFNode(v_reset=None), "v_reset is 0.0 in the state, None here"),
    (QuantLIFNode(), QuantLIFNode(v_threshold=0.5), "v_threshold is 1.0 in the state, 0.5 here"),
    (QuantIFNode(), QuantLIFNode(), "charge is QuantIFNode in the state, QuantLIFNode here"),
    (leaky(), leaky(spec=QuantSpec(membrane=UNIFORM)), "membrane.kind is levels in the state"),
    (leaky(), leaky(reset_mechanism="zero"), "reset_mechanism is subtract in the state, zero"),
    (leaky(), leaky(reset_delay=False), "reset_delay is True in the state, False here"),
    (QuantLapicque(0.5, 0.5), QuantLapicque(0.5, 0.5, spec=QuantSpec(membrane=UNIFORM)), "mem"),
    (
        quantized(kind="uniform", bits=4),
        quantized(kind="uniform", bits=2),
        "weight: bits is 4 in the state, 2 here",
    ),
    (
        quantized(kind="power_of_two", bits=4),
        quantized(kind="additive_power_of_two", bits=4),
        "weight: kind is PowerOfTwo in the state, AdditivePowerOfTwo here",
    ),
    (
        quantized(kind="power_of_two", scale="learned"),
        quantized(kind="power_of_two"),
        "weight: scale is learned in the state, power_of_two here",
    ),
    (
        quantized(kind="binary"),
        quantized(kind="binary", regulation="none"),
        "weight: regulation is layer in the state, none here",
    ),
    (
        quantized(kind="statistical", bits=4),
        quantized(kind="statistical", bits=2),
        "weight: bits is 4",
    ),
    (quantized(kind="mint", bits=4), quantized(kind="mint", bits=2), "weight: bits is 4"),
    (quantized(kind="sigmoid", bits=4), quantized(kind="sigmoid", bits=2), "weight: bits is 4"),
]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("saved", "here", "sentence"), DIFFERENT)
def test_what_has_no_shape_is_compared(saved, here, sentence, strict):
    before = copy.deepcopy(here)
    lines = refusal(copy.deepcopy(here), saved.state_dict(), strict=strict)
    assert any(sentence in line for line in lines)
    assert not any("key(s)" in line for line in lines)
    with allow_spec_changes():
        changed = copy.deepcopy(here)
        changed.load_state_dict(saved.state_dict())
    assert str(changed.state_facts() if isinstance(changed, StateFacts) else changed) == str(
        before.state_facts() if isinstance(before, StateFacts) else before
    )


SAME = [
    (lif(), lif(membrane=MembraneSpec(gradient="straight_through"))),
    (lif(), lif(membrane=MembraneSpec(surrogate="triangle", smoothness=5))),
    (lif(), lif(spike=SpikeSpec(surrogate="sigmoid", sharpness=4))),
    (
        lif(membrane=MembraneSpec("uniform", scale="running")),
        lif(membrane=MembraneSpec("uniform", scale="running", momentum=0.5, scale_value=2)),
    ),
    (
        lif(threshold=ThresholdSpec("ordinary")),
        lif(threshold=ThresholdSpec("separate", window="triangle")),
    ),
    (TernaryLIFNode(), lif()),
    (QuantLIFNode(), QuantLIFNode(detach_reset=True, step_mode="m", store_v_seq=True)),
    (leaky(), leaky(init_hidden=True, output=True)),
    (TernaryLeaky(0.5), leaky()),
    (quantized(kind="binary"), quantized(kind="binary", gradient="ede")),
    (quantized(kind="sigmoid"), quantized(kind="sigmoid", temperature_rate=9.0)),
]


@pytest.mark.parametrize(("saved", "here"), SAME)
def test_what_changes_gradients_alone_is_not(saved, here):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        here.load_state_dict(saved.state_dict())


def net(spec="spquant", seed=0):
    torch.manual_seed(seed)
    return StringNet("4C3-AP2-4C3-GAP-FC3", spec=presets.resolve(spec))


def test_one_error_names_all_differences():
    saved = net(presets.imsnn(weight_bits=4))
    here = net(QuantSpec(membrane=UNIFORM, weight=WeightSpec("power_of_two", bits=2)))
    lines = refusal(here, saved.state_dict())
    for name in ("blocks.conv1.neuron", "blocks.conv2.neuron"):
        assert f"{name}: membrane.kind is levels in the state, uniform here" in lines
    for name in weight_layers(saved):
        assert any(line.startswith(f"{name}.weight: ") for line in lines)


def test_every_value_of_a_state_is_a_tensor_and_no_file_needs_pickle():
    network = net()
    state = network.state_dict()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    tensors = {name for name in state if not name.endswith("_extra_state")}
    assert tensors == {
        *(name for name, _ in network.named_parameters()),
        *(name for name, _ in network.named_buffers()),
    }
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    again = torch.load(file, weights_only=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net(seed=1).load_state_dict(again)
        net(seed=1).load_state_dict({name: value.clone() for name, value in state.items()})
        # averaged as whoever keeps a moving average by hand does
        mean = {name: 0.9 * value + 0.1 * state[name] for name, value in state.items()}
        net(seed=1).load_state_dict(mean)
        net(seed=1).load_state_dict(state, assign=True)


def test_it_goes_with_copies_prefixes_and_compiled_networks():
    network, other = net(), net(presets.imsnn(weight_bits=2))
    wrapped = nn.Sequential()
    wrapped.add_module("module", copy.deepcopy(network))
    wrapped.load_state_dict(
        {f"module.{name}": value for name, value in network.state_dict().items()}
    )
    refusal(nn.Sequential(other), {f"0.{n}": value for n, value in network.state_dict().items()})
    compiled = torch.compile(copy.deepcopy(network), backend="eager")
    compiled.load_state_dict(compiled.state_dict())
    assert list(compiled.state_dict()) == [f"_orig_mod.{n}" for n in network.state_dict()]


def test_a_state_of_an_earlier_version_is_loaded_with_one_warning():
    network, here = net(), net(seed=1)
    earlier = {n: v for n, v in network.state_dict().items() if not n.endswith("_extra_state")}
    with pytest.warns(UserWarning, match="does not say how it was quantized") as caught:
        here.load_state_dict(earlier)
    assert len(caught) == 1
    assert all(torch.equal(here.state_dict()[name], value) for name, value in earlier.items())
    with pytest.warns(UserWarning, match="does not say"):  # each load that is of one
        here.load_state_dict(earlier)
    del earlier["blocks.conv1.synapse.0.parametrizations.weight.0.alpha"]
    with pytest.warns(UserWarning, match="does not say"):
        assert "Missing key" in refusal(here, earlier)[0]


@pytest.mark.parametrize("hosts", [("spikingjelly", "snntorch"), ("snntorch", "spikingjelly")])
def test_a_state_of_the_other_host_says_how_it_was_quantized(hosts):
    saved, here = (StringNet("4C3-GAP-FC3", host=host) for host in hosts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "Unexpected key" in refusal(here, saved.state_dict())[0]


def test_a_state_from_before_powers_of_two_were_kept_is_loaded_with_one_warning():
    saved, here = quantized(kind="power_of_two"), quantized(kind="power_of_two", seed=1)
    earlier = saved.state_dict()
    for name in ("power", "_extra_state"):
        del earlier[f"parametrizations.weight.0.{name}"]
    with pytest.warns(UserWarning, match="does not say how it was quantized") as caught:
        here.load_state_dict(earlier)
    assert len(caught) == 1
    assert torch.equal(here.weight, saved.weight)


def test_a_damaged_one_is_refused():
    state = lif().state_dict()
    state["_extra_state"][3] = 7
    assert "damaged" in refusal(lif(), state)[0]


def test_it_is_offered_at_the_top():
    assert qsnn_plugins.allow_spec_changes is allow_spec_changes


def frozen(how):
    """A quantized layer whose weight was frozen before or after it was quantized."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    if how == "before":
        network[0].requires_grad_(False)
    quantize_weights(network, WeightSpec("power_of_two", bits=4))
    if how == "layer":
        network[0].requires_grad_(False)
    if how == "weight":
        network[0].parametrizations.weight.original.requires_grad_(False)
    return network


@pytest.mark.parametrize("how", ["before", "layer", "weight"])
def test_frozen_layers_do_not_move(how):
    network = frozen(how)
    parameters = [p for p in network.parameters() if p.requires_grad]
    before = [layer.weight.detach().clone() for layer in network]
    optimizer = torch.optim.SGD(parameters, lr=0.5, momentum=0.9)
    for _ in range(5):
        optimizer.zero_grad()
        network(torch.randn(8, 4)).square().sum().backward()
        optimizer.step()
    assert torch.equal(network[0].weight, before[0])
    assert not torch.equal(network[1].weight, before[1])
    network[0].requires_grad_(True)
    network(torch.randn(8, 4)).square().sum().backward()
    assert network[0].parametrizations.weight[0].alpha.grad is not None
    assert parametrize.is_parametrized(network[0])
