"""The part of injection that knows no host, with ReLU as the neuron and a quantized one for it."""

import copy

import pytest
import torch
from torch import nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.injection import (
    Conversion,
    HostAdapter,
    InjectionReport,
    LeftAlone,
    eject,
    inject_hosts,
)
from qsnn_plugins.spec import MembraneSpec, QuantSpec, ThresholdSpec, WeightSpec

SPEC = QuantSpec(weight=WeightSpec(kind="uniform", bits=4, first_last="eight_bit"))
CHANNELS = QuantSpec(threshold=ThresholdSpec("ordinary", per="channel"))


class Stand(nn.Module):
    """What a ReLU is replaced by; it has a parameter, a buffer and a mode."""

    def __init__(self, channels=None):
        super().__init__()
        self.channels = channels
        self.offset = nn.Parameter(torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        return (x + self.offset).relu()


def is_neuron(module):
    return isinstance(module, nn.ReLU | nn.Sigmoid)


def convert(module, spec, channels, keep_surrogate, fixes_threshold):
    if isinstance(module, nn.Sigmoid):
        return LeftAlone("it is smooth")
    if getattr(module, "refused", False):
        raise ArgumentError("slope", 0.0, "a number above 0")
    return Conversion(Stand(channels), "with an offset")


swapped = []


def after_swap(network):
    swapped.append(network)


HOST = HostAdapter("stand", is_neuron, convert, after_swap=after_swap)


def inject(network, spec, **options):
    return inject_hosts([HOST], network, spec, **options)


def network_of():
    shared = nn.ReLU()
    return nn.Sequential(
        nn.Linear(3, 4),
        shared,
        nn.Linear(4, 4),
        nn.ModuleDict({"a": shared, "b": nn.Sequential(nn.ReLU())}),
        nn.Linear(4, 4),
        nn.Linear(4, 2, bias=False),
    )


def identities(network):
    return (
        [(name, id(module), type(module)) for name, module in network.named_modules()],
        [(name, id(parameter)) for name, parameter in network.named_parameters()],
        [(name, value.clone()) for name, value in network.state_dict().items()],
    )


def same(before, after):
    return before[:2] == after[:2] and all(
        name == other and torch.equal(value, value_after)
        for (name, value), (other, value_after) in zip(before[2], after[2], strict=True)
    )


def test_the_report_is_a_table():
    report = inject(network_of(), SPEC)
    assert str(report).splitlines() == [
        "          name    module         bits",
        "replaced  1, 3.a  ReLU -> Stand    32  with an offset",
        "replaced  3.b.0   ReLU -> Stand    32  with an offset",
        "weight    0       Linear            8  uniform, being first or last; others uniform",
        "weight    2       Linear            4  uniform",
        "weight    4       Linear            4  uniform",
        "weight    5       Linear            8  uniform, being first or last; others uniform",
    ]
    assert report.to_dict()["weights"][1] == {
        **{"name": "2", "kind": "Linear"},
        **{"bits": 4, "note": "uniform"},
    }
    assert str(InjectionReport()).split() == ["name", "module", "bits"]


def test_the_host_is_told_of_each_swap():
    network = network_of()
    swapped.clear()
    inject(network, SPEC)
    eject(network)
    assert [each is network for each in swapped] == [True, True]


def test_ejection_restores_objects_order_and_values_and_the_check_would_notice():
    network = network_of()
    network[4].weight = network[2].weight  # tied
    before = identities(network)
    inject(network, SPEC)
    assert not same(before, (before[0], before[1], identities(network)[2][: len(before[2])]))
    assert (
        network[4].parametrizations.weight.original is network[2].parametrizations.weight.original
    )
    eject(network)
    assert same(before, identities(network))
    assert network[4].weight is network[2].weight
    network[1] = nn.ReLU()
    assert not same(before, identities(network))


@pytest.mark.parametrize("fault", ["conversion", "weight"])
def test_a_refusal_on_the_way_changes_nothing(fault):
    network = network_of()
    if fault == "conversion":
        network[3]["b"][0].refused = True
        message = r"3\.b\.0\.slope=0\.0 is not allowed: give a number above 0"
    else:
        torch.nn.utils.parametrize.register_parametrization(network[5], "weight", nn.Tanh())
        message = r"5\.weight='parametrized'"
    before = identities(network)
    with pytest.raises(ArgumentError, match=message):
        inject(network, SPEC)
    assert same(before, identities(network))
    with pytest.raises(ArgumentError, match="an injected one"):
        eject(network)


def test_mode_and_device_are_those_of_the_old():
    network = network_of()
    network[3]["b"].eval()
    network[2].to("meta")
    inject(network, QuantSpec())
    assert network[1].training
    assert not network[3]["b"][0].training
    assert network[1].offset.device.type == "cpu"
    assert network[3]["b"][0].offset.device.type == "meta"
    assert network[3]["b"][0].seen.device.type == "meta"


def test_hooks_of_every_kind_move_and_their_handles_stay_valid():
    network, calls = nn.Sequential(nn.Linear(3, 4), nn.ReLU()), []

    def note(name):
        return lambda *_, **__: calls.append(name)

    neuron = network[1]
    handles = [
        neuron.register_forward_pre_hook(note("pre")),
        neuron.register_forward_hook(note("post")),
        neuron.register_forward_hook(note("post with keywords"), with_kwargs=True),
        neuron.register_full_backward_hook(note("backward")),
    ]
    inject(network, QuantSpec())
    network(torch.rand(2, 3)).sum().backward()
    assert calls == ["pre", "post", "post with keywords", "backward"]
    for handle in handles:
        handle.remove()
    network(torch.rand(2, 3)).sum().backward()
    assert len(calls) == 4


def test_channels_come_from_one_run_of_a_copy():
    class Chain(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.act = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU()
            self.second, self.last = nn.Linear(4, 2), nn.ReLU()

        def forward(self, x):
            return self.last(self.second(self.act(self.norm(self.first(x)))))

    chain = Chain()
    values = copy.deepcopy(chain.state_dict())
    inject(chain, CHANNELS, example_input=torch.rand(5, 3))
    assert (chain.act.channels, chain.last.channels) == (4, 2)
    assert all(torch.equal(value, chain.state_dict()[name]) for name, value in values.items())
    assert chain.training
    assert chain.norm.training
    with pytest.raises(ArgumentError, match="example_input=None is not allowed: give an input of"):
        inject(Chain(), CHANNELS)


def test_a_network_that_cannot_be_copied_says_what_to_do():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    network[1].v = network[0](torch.rand(2, 3))  # as a state that carries gradients
    with pytest.raises(ArgumentError, match="one whose states were reset"):
        inject(network, CHANNELS, example_input=torch.rand(2, 3))


def test_a_container_that_was_replaced_since_is_noticed():
    network = network_of()
    inject(network, SPEC)
    network[3]["b"] = nn.Sequential(nn.ReLU())
    with pytest.raises(ArgumentError, match=r"3\.b\.0=.*replaced since"):
        eject(network)
    assert isinstance(network[1], Stand)


def test_a_parametrization_that_was_registered_since_stays_through_ejection():
    network = network_of()
    inject(network, SPEC)
    own = nn.Tanh()
    torch.nn.utils.parametrize.register_parametrization(network[2], "weight", own)
    torch.nn.utils.parametrize.register_parametrization(network[4], "bias", own)
    original = network[2].parametrizations.weight.original
    eject(network)
    assert list(network[2].parametrizations.weight) == [own]
    assert torch.equal(network[2].weight, original.tanh())
    assert list(network[4].parametrizations) == ["bias"]
    assert isinstance(network[4].weight, nn.Parameter)


def test_swapped_arguments_are_named_by_their_class():
    with pytest.raises(ArgumentError) as caught:
        inject(SPEC, network_of())
    assert str(caught.value) == "network=<QuantSpec> is not allowed: give a torch.nn.Module"
    with pytest.raises(ArgumentError) as caught:
        inject(network_of(), network_of())
    assert str(caught.value).startswith("spec=<Sequential> is not allowed: give a QuantSpec")
    for flag in ("keep_surrogate", "absolute_levels"):  # "no" would have been yes
        with pytest.raises(ArgumentError, match=f"{flag}='no' is not allowed: give True or False"):
            inject(network_of(), SPEC, **{flag: "no"})


def test_a_neuron_that_never_runs_is_left_where_its_channels_are_needed():
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.act, self.never = nn.Linear(3, 4), nn.ReLU(), nn.ReLU()

        def forward(self, x):
            return self.act(self.first(x))

    network = Aside()
    with pytest.warns(UserWarning, match="1 neuron left alone"):
        report = inject(network, CHANNELS, example_input=torch.rand(5, 3))
    assert [row.names for row in report.replaced] == [("act",)]
    assert [(row.names, row.why) for row in report.left] == [
        (("never",), "its channels are not known: it never runs on example_input")
    ]
    assert type(network.never) is nn.ReLU
    inject(eject(network), QuantSpec(MembraneSpec()))  # needs no channels
    assert isinstance(network.never, Stand)


def test_levels_are_in_units_of_the_first_threshold():
    seen, thresholds = [], {"0": 0.5, "1": 1.0, "2": float("inf"), "3": torch.tensor([1.0, 2.0])}
    thresholds["4"] = torch.ones(3, device="meta")  # a network without values
    thresholds["5"] = 0.0  # of neurons that a host leaves alone

    def convert(module, spec, channels, keep_surrogate, fixes_threshold):
        seen.append(spec)
        return Conversion(Stand(), "note")

    host = HostAdapter(
        "stand", is_neuron, convert, threshold=lambda m: thresholds.get(getattr(m, "key", ""))
    )
    network = nn.Sequential(*(nn.ReLU() for _ in thresholds))
    for key, module in network.named_children():
        module.key = key
    report = inject_hosts([host], network, SPEC)
    assert [spec.membrane.levels for spec in seen] == [(-0.5, 0, 0.5)] + 5 * [(-1, 0, 1)]
    assert [spec.weight for spec in seen] == 6 * [SPEC.weight]
    absolute = "note, levels are absolute: it has no one finite threshold"
    assert [row.note for row in report.replaced] == [
        "note, levels are times its threshold, 0.5", "note", absolute, absolute, absolute, absolute,
    ]  # fmt: skip
    seen.clear()
    report = inject_hosts([host], eject(network), SPEC, absolute_levels=True)
    assert seen == 6 * [SPEC]
    assert {row.note for row in report.replaced} == {"note"}
    report = inject_hosts([host], eject(network), QuantSpec.full_precision())
    assert {row.note for row in report.replaced} == {"note"}, "there are no levels"


def test_pickled_networks_can_be_ejected(tmp_path):
    network = network_of()
    inject(network, QuantSpec())
    torch.save(network, tmp_path / "network.pt")
    again = torch.load(tmp_path / "network.pt", weights_only=False)
    assert isinstance(eject(again)[1], nn.ReLU)
    assert again[1] is again[3]["a"]


def test_two_patterns_for_a_matrix_change_nothing():
    network = nn.Sequential(nn.Sequential(nn.GRUCell(4, 4), nn.ReLU()), nn.Linear(4, 2))
    with pytest.raises(ArgumentError, match=r"both cover 0\.0"):
        inject(network, SPEC, overrides={"0.*": QuantSpec(), "*.0": None})
    assert isinstance(network[0][1], nn.ReLU)


@pytest.mark.parametrize("pattern", ["", "*"])
def test_a_pattern_covers_matrices_of_the_network_itself(pattern):
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    network.register_parameter("own", nn.Parameter(torch.ones(2, 2)))
    with pytest.raises(ArgumentError, match=r"weight matrix, such as 0, 1$"):
        inject(network, "imsnn", overrides={"other": None})
    report = inject(network, "imsnn", overrides={pattern: None, "1": "imsnn"})
    assert ("own",) in [row.names for row in report.floats if row.why == "override"]


@pytest.mark.filterwarnings("error")
def test_a_warning_that_is_an_error_changes_nothing():
    network = nn.Sequential(nn.GRUCell(4, 4), nn.ReLU(), nn.Linear(4, 2), nn.ReLU())
    with pytest.raises(UserWarning, match="no weight is uniform"):
        inject(network, SPEC)
    assert isinstance(network[1], nn.ReLU)
    assert type(network[2]) is nn.Linear


def test_channels_are_said_with_their_dimension():
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
    report = inject(network, CHANNELS, example_input=torch.rand(3, 5, 6))
    assert report.replaced[0].note.endswith("5 channels along dimension 1")
