"""What has no form in integers, and what is no argument, is refused by name."""

import math

import pytest
import snntorch as snn
import torch
from spikingjelly.activation_based import layer, neuron
from torch import nn

from qsnn_plugins import export, inject, presets
from qsnn_plugins.errors import ArgumentError, ExportError, QSNNError
from qsnn_plugins.spec import (
    MembraneSpec,
    PruningSpec,
    QuantSpec,
    SpikeSpec,
    WeightSpec,
)
from tests.export import called_networks as nets
from tests.export.networks import counts, string_net


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (QuantSpec(MembraneSpec("float"), weight=WeightSpec("uniform", bits=4)), "float membranes"),
        (QuantSpec(MembraneSpec("clip"), weight=WeightSpec("uniform", bits=4)), "float membranes"),
        (QuantSpec(weight=WeightSpec("float")), "float weights"),
        (
            QuantSpec(spike=SpikeSpec(bits=9), weight=WeightSpec("uniform", bits=4)),
            "spikes of 9 bits.* at most 8 bits",
        ),
        (
            QuantSpec(weight=WeightSpec("uniform", bits=4), pruning=PruningSpec(spatial_ratio=0.5)),
            "spatial mask",
        ),
        (
            QuantSpec(
                MembraneSpec("uniform", bits=2, scale="step_max", evaluation="published"),
                weight=WeightSpec("uniform", bits=4),
            ),
            "scale",
        ),
    ],
)
def test_what_has_no_form_in_integers_is_refused(spec, words):
    network = string_net(spec)
    with pytest.raises(ExportError, match=words):
        export.to_integer(network, counts())


@pytest.mark.parametrize(
    ("host_neuron", "membrane", "words"),
    [
        # 256 levels, and two of the delayed reset
        (
            snn.Leaky(0.9, init_hidden=True),
            MembraneSpec("threshold_centred", bits=8),
            r"1 stores 25[78] values.*reset_delay=False",
        ),
        # after a spike the input does not count, and what is charged is 0
        (
            snn.Lapicque(beta=0.9, init_hidden=True, reset_mechanism="zero"),
            MembraneSpec("uniform", bits=4, scale="fixed", scale_value=2.0),
            r"1 discards its input after a spike.* up to 16 values.* reset_mechanism='subtract'",
        ),
    ],
)
def test_states_that_no_wide_table_has_are_refused(host_neuron, membrane, words):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 32), host_neuron, nn.Linear(32, 2))
    inject(network, QuantSpec(membrane, weight=WeightSpec("uniform", bits=8)))
    with pytest.raises(ExportError, match=words):
        export.to_integer(network, torch.randint(0, 3, (20, 2, 4)).float())


class Squared(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        self.network.reset_states()
        return self.network(x) ** 2


class Leaking(Squared):
    """Adds what it answered before."""

    def forward(self, x):
        self.kept = self.network(x) + 0.5 * getattr(self, "kept", 0.0)
        return self.kept


def test_a_state_beside_the_neurons_is_refused():
    with pytest.raises(ExportError, match="states other than those of neurons"):
        export.to_integer(Leaking(string_net()), counts())


class Recurrent(nn.Module):
    """Feeds its spikes back."""

    def __init__(self):
        super().__init__()
        self.fc, self.back, self.lif = nn.Linear(12, 5), nn.Linear(5, 5), snn.Leaky(0.8)

    def forward(self, x):
        membrane, spikes, sent = self.lif.init_leaky(), torch.zeros(x.shape[1], 5), []
        for step in x:
            spikes, membrane = self.lif(self.fc(step) + self.back(spikes), membrane)
            sent.append(spikes)
        return torch.stack(sent)


@pytest.mark.parametrize("shape", [(4, 3, 12), (4, 1, 12), (1, 1, 12)])
def test_what_is_fed_back_is_refused(shape):
    network = Recurrent()
    inject(network, presets.imsnn(weight_bits=4))
    with pytest.raises(ExportError, match="feedback"):
        export.to_integer(network, torch.ones(shape))


class Readout(nn.Module):
    """Answers with what `use` makes of spikes and membranes."""

    def __init__(self, use):
        super().__init__()
        self.fc, self.lif, self.use = nn.Linear(12, 5), snn.Leaky(0.8), use

    def forward(self, x):
        return self.use(*self.lif(self.fc(x), self.lif.init_leaky()))


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda spikes, membrane: (membrane, spikes), "answers with a membrane"),
        (lambda spikes, membrane: 2 * membrane, "answers with a membrane"),
        (lambda spikes, membrane: spikes + membrane, "computes with a membrane"),
    ],
)
def test_membranes_are_no_answers(use, words):
    network = Readout(use)
    inject(network, presets.imsnn(weight_bits=4))
    with pytest.raises(ExportError, match=words):
        export.to_integer(network, torch.ones(1, 12))


@pytest.mark.parametrize(
    "use", [lambda x, own: x @ x.mT, lambda x, own: own @ x, lambda x, own: x @ own]
)
def test_matrices_that_are_no_weight_are_named(use):
    own = torch.arange(2 * 5 * 5.0).reshape(2, 5, 5)

    def twice(spikes, membrane):
        rows = spikes.unsqueeze(1).expand(-1, 5, -1)
        return use(torch.cat([rows, rows]), own.repeat(len(spikes), 1, 1))

    network = Readout(twice)
    inject(network, presets.imsnn(weight_bits=4))
    with pytest.raises(ExportError, match="by a computed matrix, or by another one in each step"):
        export.to_integer(network, torch.ones(1, 12))


def test_an_operator_without_a_form_is_named():
    with pytest.raises(ExportError, match="pow"):
        export.to_integer(Squared(string_net()), counts())


@pytest.mark.parametrize("network", [None, "vgg9", nn.Linear])
def test_what_is_no_network_is_refused(network):
    with pytest.raises(ArgumentError, match="network="):
        export.to_integer(network, counts())


@pytest.mark.parametrize(
    "example",
    [None, [1.0], torch.zeros(0, 1, 2, 8, 8), counts() * float("nan"), counts().to_sparse(),
     counts().to("meta"), counts() * 1j],
)  # fmt: skip
def test_what_is_no_example_is_refused(example):
    with pytest.raises(ArgumentError, match="example_input="):
        export.to_integer(string_net(), example)


def test_an_example_that_does_not_fit_is_named():
    with pytest.raises(ArgumentError, match=r"example_input\.shape="):
        export.to_integer(nn.Sequential(nn.Linear(2, 2)), counts())


@pytest.mark.parametrize("frames", [None, [1], counts()[:, :, :1]])
def test_what_are_no_frames_is_refused(frames):
    integer = export.to_integer(string_net(), counts())
    for network in (integer, integer.compile()):
        with pytest.raises(ArgumentError, match="frames"):
            network(frames)


@pytest.mark.parametrize("unit", [0, -1.0, "a", True, float("inf"), float("nan")])
def test_units_are_checked(unit):
    with pytest.raises(ArgumentError, match="input_unit"):
        export.to_integer(string_net(), counts(), input_unit=unit)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (nn.Softmax(-1), "the greatest answer stays"),
        (nn.GroupNorm(1, 6), "batch normalization"),
        (nn.ReflectionPad1d(1), "pad with zeros"),
        (lambda y: y.clamp(max=1), "neurons alone limit"),
        (nn.GELU(), "put a neuron"),
        (lambda y: y * (2 if y.sum() else 1), "reads a value|neurons alone"),
    ],
)
def test_what_helps_is_said_of_operators(change, words):
    network = string_net()

    class Changed(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            y = self.network(x)
            return change(y.flatten(0, 1)).reshape(*y.shape[:2], -1)

    with pytest.raises(ExportError, match=words):
        export.to_integer(Changed(), counts())


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"), "Conv2d. pads.*circularly"),
        (
            nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"),
            "Conv2d. runs reflection_pad2d",
        ),
        (
            nn.BatchNorm2d(2, track_running_stats=False),
            "BatchNorm2d. has no running stat",
        ),
    ],
)
def test_layers_without_a_form_in_integers_are_named(first, words):
    network = nn.Sequential(layer.SeqToANNContainer(first), neuron.IFNode(step_mode="m"))
    inject(network, presets.imsnn(weight_bits=4))
    with pytest.raises(ExportError, match=f"0.0 .{words}"):
        export.to_integer(network.eval(), counts())


def test_half_precision_is_refused():
    with pytest.raises(ArgumentError, match=r"float16.*network\.float\(\)"):
        export.to_integer(string_net().half(), counts())
    with pytest.raises(ArgumentError, match=r"bfloat16.*network\.float\(\)"):
        export.to_integer(string_net().bfloat16(), counts())


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1.0])
def test_numbers_that_are_none_are_named(value):
    network = string_net()
    norm = next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    norm.running_var[1] = value
    with pytest.raises(ExportError, match=r"running_var|variance"):
        export.to_integer(network, counts())


def test_units_that_lose_the_example_are_refused():
    network = string_net()
    for unit in (1e30, 1e9, 5.0):
        with pytest.raises(ArgumentError, match="rounded to 0"):
            export.to_integer(network, counts(), input_unit=unit)
    assert export.to_integer(network, 1e-9 * counts()).input.unit < 1e-12


class Writes(nets.Loop):
    def forward(self, x):
        answers = torch.zeros(len(x), x.shape[1], 5)
        for t, y in enumerate(self.steps(x)):
            answers[t] = y
        return answers


def test_what_helps_stands_in_the_error():
    with pytest.raises(ExportError, match=r"writes into a tensor.*torch\.stack"):
        export.to_integer(nets.quantized(Writes()), counts(4, 3, (12,)))


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        *((value, torch.float32) for value in (256.0, -1.0, math.nan, math.inf)),
        *((value, torch.int64) for value in (256, -1)),
    ],
)
def test_values_beyond_the_range_are_refused(value, dtype):
    integer = export.to_integer(string_net(), counts())
    x = counts()
    x[1, 2, 0, 3, 3] = value
    for network in (integer, integer.compile()):
        with pytest.raises(ArgumentError, match=r"frames=.* from 0 to 255"):
            network(x.to(dtype))


def test_frames_of_another_shape_are_refused():
    integer = export.to_integer(string_net(), counts())
    with pytest.raises(QSNNError, match=r"frames\.shape"):
        integer(counts(shape=(2, 9, 8)))
