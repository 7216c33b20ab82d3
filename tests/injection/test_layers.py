"""Layer by layer: overrides, `filter_fn`, the first and last layer, and what stays float."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.injection import eject
from qsnn_plugins.nn import layer_quantizer, quantize_weights
from qsnn_plugins.spec import QuantSpec, ThresholdSpec, WeightSpec
from tests.injection.test_network import Stand, identities, inject, network_of, same


def spec_of(bits, **options):
    return QuantSpec(weight=WeightSpec(kind="uniform", bits=bits, **options))


def bits_of(report):
    return {row.name: row.bits for row in report.weights}


def floats_of(report):
    return {row.names[0]: row.why for row in report.floats}


def test_overrides_give_layers_their_own_spec_and_ejection_undoes_them():
    network = network_of()
    before = identities(network)
    report = inject(network, spec_of(4), overrides={"2": spec_of(2), "3.b": None, "5": None})
    assert bits_of(report) == {"0": 4, "2": 2, "4": 4}
    assert [row.names for row in report.replaced] == [("1", "3.a")]
    assert [(row.names, row.why, row.asked) for row in report.left] == [
        (("3.b.0",), "override", True)
    ]
    assert floats_of(report) == {"5.weight": "override"}
    assert isinstance(network[1], Stand)
    assert type(network[3]["b"][0]) is nn.ReLU
    eject(network)
    assert same(before, identities(network))


def test_what_the_filter_refuses_is_left_alone():
    network, asked = network_of(), []

    def filter_fn(name, module):
        asked.append(name)
        return name != "3.a" and getattr(module, "out_features", 4) == 4

    report = inject(network, spec_of(4), filter_fn=filter_fn)
    assert set(asked) == {"0", "1", "2", "3.a", "3.b.0", "4", "5"}, "neurons and layers alone"
    assert bits_of(report) == {"0": 4, "2": 4, "4": 4}
    assert [(row.names, row.why) for row in report.left] == [(("1", "3.a"), "filter_fn")]
    assert floats_of(report) == {"5.weight": "filter_fn"}
    with pytest.raises(ArgumentError, match=r"filter_fn=None .* True or False for '\w'"):
        inject(network_of(), spec_of(4), filter_fn=lambda name, module: None)


def test_what_the_caller_asked_for_brings_no_warning(recwarn):
    asked = {"1": None, "3.a": None, "4": None}
    report = inject(network_of(), spec_of(4, first_last="float"), overrides=asked)
    assert [row.asked for row in report.floats] == [True, True, True]
    assert floats_of(report)["0.weight"] == "weight.first_last is float"
    report = inject(network_of(), QuantSpec())
    assert set(floats_of(report).values()) == {"weight.kind is float"}
    assert len(recwarn) == 0


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, {"0": 8, "2": 4, "4": 4, "5": 8}),
        ({"0": spec_of(2), "2": spec_of(2)}, {"0": 2, "2": 2, "4": 4, "5": 8}),
        ({"5": spec_of(2, first_last="float")}, {"0": 8, "2": 4, "4": 4}),
        ({"0": None}, {"2": 4, "4": 4, "5": 8}),  # the first layer is the network's, left or not
    ],
)
def test_the_first_and_the_last_layer_read_their_own_spec(overrides, expected):
    report = inject(network_of(), spec_of(4, first_last="eight_bit"), overrides=overrides)
    assert bits_of(report) == expected


def test_modules_with_several_names_and_tied_weights_have_one_spec():
    with pytest.raises(ArgumentError, match=r"\['1', '3\.a'\]"):
        inject(network_of(), spec_of(4), overrides={"3.a": None})
    network = network_of()
    network[4].weight = network[2].weight
    before = identities(network)
    with pytest.raises(ArgumentError, match=r"4\.weight=.*the spec of 2"):
        inject(network, spec_of(4), overrides={"4": spec_of(2)})
    assert same(before, identities(network))


@pytest.mark.parametrize("pattern", ["6", "norm", "3.c*"])
def test_a_pattern_that_covers_nothing_is_refused(pattern):
    network = network_of()
    before = identities(network)
    with pytest.raises(ArgumentError, match=f"overrides='{pattern[:3]}"):
        inject(network, spec_of(4), overrides={"2": spec_of(2), pattern: None})
    assert same(before, identities(network))


def test_a_network_whose_neurons_are_left_on_purpose_gets_its_weights():
    report = inject(network_of(), spec_of(4), overrides={"1": None, "3": None})
    assert not report.replaced
    assert len(report.weights) == 4


class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.act, self.last, self.out = (
            *(nn.Linear(3, 4), nn.ReLU()),
            *(nn.Linear(4, 2), nn.ReLU()),
        )

    def forward(self, x):
        return self.out(self.last(self.act(self.first(x))))


def test_one_layer_may_need_channels():
    per_channel = QuantSpec(threshold=ThresholdSpec("ordinary", per="channel"))
    network = Chain()
    with pytest.raises(ArgumentError, match="example_input=None"):
        inject(network, QuantSpec(), overrides={"out": per_channel})
    inject(network, QuantSpec(), overrides={"out": per_channel}, example_input=torch.rand(2, 3))
    assert (network.act.channels, network.out.channels) == (None, 2)
    eject(network)
    inject(network, per_channel, overrides={"*": None})  # nobody needs channels


class Everything(nn.Module):
    """Matrix parameters of all kinds."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(5, 4)
        self.sparse = nn.Embedding(5, 4, sparse=True)
        self.up = nn.ConvTranspose2d(4, 4, 3)
        self.attention = nn.MultiheadAttention(4, 2)
        self.lstm = nn.LSTM(4, 3)
        self.cell = nn.GRUCell(4, 3)
        self.pair = nn.Bilinear(4, 3, 2)
        self.own = nn.Parameter(torch.rand(4, 6))
        self.list = nn.ParameterList([nn.Parameter(torch.rand(2, 2))])
        self.norm = nn.LayerNorm(4)
        self.act = nn.Sigmoid()  # a neuron that is left alone
        self.act.slope = nn.Parameter(torch.ones(4, 1, 1))  # of each channel: no matrix
        self.act.recurrent = nn.Parameter(torch.ones(4, 4))
        self.fire = nn.ReLU()
        self.head = nn.Linear(4, 5)
        self.head.weight = self.words.weight


def test_every_matrix_that_stays_float_is_listed(recwarn):
    network = Everything()
    report = inject(network, spec_of(4))
    kernel, layers = "multiplied inside torch's own kernel", "only weights of torch's Conv"
    expected = {
        "sparse.weight": "its gradient is sparse",
        "attention.in_proj_weight": kernel,
        "lstm.weight_ih_l0": kernel,
        "lstm.weight_hh_l0": kernel,
        "cell.weight_ih": kernel,
        "cell.weight_hh": kernel,
        "own": layers,
        "list.0": layers,
        "act.recurrent": "a neuron's own parameter",
    }
    assert floats_of(report).keys() == expected.keys()
    for name, why in floats_of(report).items():
        assert expected[name] in why, name
    quantized = "words", "up", "attention.out_proj", "pair", "head"
    assert bits_of(report) == dict.fromkeys(quantized, 4)
    assert report.weights[-1].note == "uniform; its weight is that of words"
    count = sum(network.get_parameter(name).numel() for name in expected)
    assert sum(row.count for row in report.floats) == count
    words = [str(warning.message) for warning in recwarn]
    assert [row.asked for row in report.left] == [False]
    assert words[0].startswith("1 neuron left alone")
    assert words[1].startswith(f"9 matrix parameters with {count:,} weights left float")
    assert {warning.filename for warning in recwarn} == {__file__}
    assert ["float", "own", "Everything", "32", "24"] in [
        line.split()[:5] for line in str(report).splitlines()
    ]


def test_nothing_is_listed_that_is_quantized():
    """The account of a network's matrices adds up, whatever is left."""
    network = network_of()
    matrices = {name for name, parameter in network.named_parameters() if parameter.dim() > 1}
    report = inject(network, spec_of(4), overrides={"2": None})
    quantized = {f"{row.name}.weight" for row in report.weights}
    assert quantized | set(floats_of(report)) == matrices
    assert not quantized & set(floats_of(report))


def test_attention_computes_with_its_quantized_projection():
    network = nn.Sequential(nn.ReLU())
    network.attention = nn.MultiheadAttention(4, 2).eval()
    plain, x = copy.deepcopy(network.attention), torch.rand(3, 2, 4)
    with pytest.warns(UserWarning, match="1 matrix parameter with 48 weights"):
        inject(network, spec_of(2))
    with torch.no_grad():
        plain.out_proj.weight.copy_(network.attention.out_proj.weight)
    assert torch.equal(network.attention(x, x, x)[0], plain(x, x, x)[0])


def test_a_layer_that_was_quantized_before_stays_so_through_ejection():
    network = network_of()
    quantize_weights(network[2], WeightSpec(kind="mint", bits=2))
    inject(network, spec_of(4), overrides={"2": None})
    eject(network)
    assert layer_quantizer(network[2]).bits == 2
    assert layer_quantizer(network[4]) is None


def test_a_computed_weight_is_refused_or_left():
    network = network_of()
    with pytest.warns(FutureWarning):
        network[2] = nn.utils.weight_norm(network[2])
    with pytest.raises(ArgumentError, match=r"2\.weight='computed'.*weight_norm.*'2': None"):
        inject(network, spec_of(4))
    report = inject(network, spec_of(4), overrides={"2": None})
    assert floats_of(report) == {"2.weight_g": "override", "2.weight_v": "override"}


@pytest.mark.parametrize(
    "compute",
    [
        nn.utils.spectral_norm,
        lambda layer: prune.random_unstructured(layer, "weight", 0.5),
        nn.utils.parametrizations.spectral_norm,
        nn.utils.parametrizations.weight_norm,
    ],
    ids=["spectral_norm", "prune", "new spectral_norm", "new weight_norm"],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_layer_whose_weight_is_computed_is_named_and_can_be_skipped(compute):
    network = network_of()
    compute(network[2])
    with pytest.raises(ArgumentError, match=r"^2\.weight=.* removed first.*overrides={'2': None}"):
        inject(network, spec_of(4))
    report = inject(network, spec_of(4), overrides={"2": None})
    assert bits_of(report) == {"0": 4, "4": 4, "5": 4}
    eject(network)


def test_the_report_says_what_became_of_the_preset():
    ends = spec_of(4, first_last="eight_bit")
    binary = QuantSpec(weight=WeightSpec(kind="binary", first_last="eight_bit"))
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    note = (
        "no weight is binary: each layer of that spec is first or last, "
        "and its weight.first_last is eight_bit"
    )
    with pytest.warns(UserWarning, match=note) as caught:
        report = inject(network, binary)
    assert report.notes == (note,)
    assert str(report).splitlines()[-1].split(maxsplit=1) == ["note", note]
    assert {w.note for w in report.weights} == {"uniform, being first or last; others binary"}
    assert {warning.filename for warning in caught} == {__file__}
    assert inject(network_of(), binary).notes == ()
    assert inject(network_of(), ends).weights[1].note == "uniform"
    report = inject(network_of(), "imsnn", overrides={"2": {"preset": "imsnn", "weight_bits": 8}})
    assert [w.note for w in report.weights][:2] == ["power_of_two", "additive_power_of_two"]


def test_a_weight_that_is_in_the_middle_and_at_the_end_is_an_end():
    network = network_of()
    network[4].weight = network[2].weight
    network.last = nn.Linear(4, 4)
    network.last.weight = network[2].weight
    report = inject(network, spec_of(4, first_last="eight_bit"))
    assert bits_of(report) == {"0": 8, "2": 8, "4": 8, "5": 4, "last": 8}
    assert [row.note.partition("; its")[2] for row in report.weights] == [
        "", "", " weight is that of 2", "", " weight is that of 2",
    ]  # fmt: skip
