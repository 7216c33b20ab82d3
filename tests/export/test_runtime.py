import copy
import dataclasses
import pickle

import pytest
import torch

from qsnn_plugins import export, presets
from qsnn_plugins.errors import ArgumentError, ExportError
from qsnn_plugins.export import nodes, runtime
from qsnn_plugins.export.lowered import Method
from qsnn_plugins.export.lowering import code_planes, lower
from qsnn_plugins.export.plan import build_plan
from qsnn_plugins.models import ResidualNet
from qsnn_plugins.ops.compiler import FLAGS
from qsnn_plugins.spec import MembraneSpec, QuantSpec, SpikeSpec, WeightSpec
from tests.export.networks import counts, string_net, waken
from tests.export.random_networks import random_chain, random_frames, random_network
from tests.export.runtime_networks import convolution, draw, frames, network, table
from tests.toolchain import needs_compiler

pytestmark = needs_compiler

CODES = {
    "binary": (-1, 1),
    "ternary": (-1, 0, 1),
    "even": (-3, -1, 1, 3),
    "4 bits": tuple(range(-7, 8)),
    "powers of two": (-64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64),
    "8 bits": (-128, -127, -5, 0, 3, 127),
    "16 bits": (-130, 0, 1, 140),
}
INPUTS = {
    "spikes": (0, 1),
    "sums of four": (0, 4),
    "pixels": (0, 255),
    "16 bits": (0, 40000),
    "signed": (-20, 300),
}
GEOMETRIES = {
    "1 x 1": {"takes": (70, 5, 6), "out": 33, "kernel": (1, 1)},
    "3 x 3": {"takes": (65, 6, 5), "out": 130, "kernel": (3, 3), "padding": (1, 1)},
    "strides": {
        "takes": (3, 9, 7),
        "out": 10,
        "kernel": (3, 2),
        "stride": (2, 3),
        "padding": (2, 0),
    },
    "groups": {"takes": (6, 8, 8), "out": 10, "kernel": (3, 3), "groups": 2, "dilation": (2, 1)},
    "depthwise": {
        "takes": (40, 6, 6),
        "out": 40,
        "kernel": (3, 3),
        "groups": 40,
        "padding": (1, 1),
    },
    "1 dimension": {
        "takes": (5, 20),
        "out": 7,
        "kernel": (4,),
        "stride": (2,),
        "padding": (1,),
        "dilation": (3,),
    },
    "3 dimensions": {
        "takes": (2, 4, 5, 6),
        "out": 9,
        "kernel": (2, 3, 3),
        "stride": (1, 2, 1),
        "padding": (1, 0, 1),
        "dilation": (1, 1, 2),
    },
}


def check(integer, x=None, compiled=None):
    """The same answers, spikes and states, at once and step by step."""
    x = frames(integer) if x is None else x
    compiled = compiled or integer.compile(1, x)
    state, own = {}, {}
    answers, spikes = integer(x, state)
    found, sent = compiled(x, own, spikes=True)
    assert torch.equal(found, answers)
    assert found.dtype == answers.dtype
    assert sent.keys() == spikes.keys()
    assert state.keys() == own.keys()
    for name, wanted in spikes.items():
        assert torch.equal(sent[name], wanted), name
        assert sent[name].dtype == torch.uint8
        assert torch.equal(own[name].flatten(1).long(), state[name]), name
    stream = {}
    steps = [compiled(step[None], stream) for step in x]
    assert torch.equal(torch.cat([step for step, _ in steps]), answers)
    assert not steps[0][1]
    return compiled


def in_every_way(integer):
    """Run each way to sum each layer, and return the methods that there were."""
    lowered, found = lower(integer, bool(runtime.library().qsnn_has_dot())), set()
    for way in range(max(1, *(len(layer.ways) for layer in lowered.layers))):
        layers = [layer.chosen(min(way, len(layer.ways) - 1)) for layer in lowered.layers]
        chosen = lowered.replaced(layers)
        check(integer, compiled=runtime.CompiledNetwork(chosen, build_plan(integer, chosen), 1))
        found |= {layer.ways[layer.way].method for layer in layers if layer.ways}
    return found


@pytest.mark.parametrize("levels", CODES.values(), ids=CODES)
@pytest.mark.parametrize("reach", INPUTS.values(), ids=INPUTS)
def test_every_way_gives_the_sums(levels, reach):
    takes = (70, 6, 5)
    conv = convolution(takes, 130, (3, 3), levels, padding=(1, 1))
    integer = network(conv, takes=takes, low=reach[0], high=reach[1])
    methods = in_every_way(integer)
    assert (Method.ROWS in methods) == (reach[0] == 0 and reach[1] <= 15)
    planes = code_planes(conv.codes)[0]
    assert (Method.PLANES in methods) == (reach[0] == 0 and reach[1] <= 7 and planes <= 3)


def matrix(inputs, outputs, levels):
    codes = torch.tensor(levels)[draw((outputs, inputs), 0, len(levels) - 1)].to(torch.int8)
    return nodes.Linear("fc", (0,), (outputs,), 0, 0, codes, 8, levels)


@pytest.mark.parametrize("reach", [(0, 1), (0, 4), (0, 255), (-20, 300)])
def test_more_inputs_in_one_place_than_16_bits_count(reach):
    takes = (70_000,)
    for levels in ((-1, 0, 1), tuple(range(-7, 8))):
        integer = network(matrix(*takes, 40, levels), takes=takes, low=reach[0], high=reach[1])
        in_every_way(integer)


@pytest.mark.slow
def test_rows_beyond_32_bits_are_not_listed():
    codes = torch.ones(1, 1, dtype=torch.int8).expand(1, 2**27)
    layer = dataclasses.replace(matrix(1, 1, (1,)), codes=codes)
    lowered = lower(network(layer, takes=(2**27,)), has_dot=False)
    assert {way.method for way in lowered.layers[0].ways} == {Method.PRODUCTS, Method.PLANES}


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("high", [1, 255])
def test_every_geometry(geometry, high):
    takes = geometry["takes"]
    in_every_way(network(convolution(levels=(-1, 0, 1), **geometry), takes=takes, high=high))


def test_sums_that_just_fit_in_16_bits_and_those_that_do_not():
    for taps in (32766, 32767, 32768):
        for sign in (1, -1):
            codes = torch.full((2, taps), sign, dtype=torch.int8)
            linear = nodes.Linear("fc", (0,), (2,), -taps, taps, codes, 1, (-1, 1))
            neuron = table((2,), 1, 2, 2, 3)
            bounds = torch.full_like(neuron.bounds, sign * taps + (sign < 0))
            integer = network(linear, dataclasses.replace(neuron, bounds=bounds), takes=(taps,))
            for x in (torch.ones(1, 1, taps).long(), frames(integer, 1, 1, rate=0.9)):
                check(integer, x)


@pytest.mark.parametrize("groups", [1, 5, 40, 1440])
@pytest.mark.parametrize(
    ("states", "outcomes"),
    [(1, 2), (2, 3), (3, 4), (4, 6), (9, 12), (16, 16), (1, 256), (16, 40), (3, 768)],
)
def test_every_table(groups, states, outcomes):
    takes = (6, 6, 6)
    conv = convolution(takes, 40, (3, 3), tuple(range(-7, 8)), padding=(1, 1))
    in_every_way(network(conv, table(conv.shape, groups, states, outcomes, 40), takes=takes))
    wide = convolution(takes, 40, (3, 3), (-1000, 1000), padding=(1, 1))
    reach = 12_000
    check(network(wide, table(conv.shape, groups, states, outcomes, reach), takes=takes, high=9))


def test_tables_over_sums_that_others_take_too():
    takes = (6, 6, 6)
    conv = convolution(takes, 40, (3, 3), (-1, 0, 1), padding=(1, 1))
    first, second = table(conv.shape, 40, 3, 4, 8), table(conv.shape, 1, 2, 3, 8, seed=9)
    second = dataclasses.replace(second, name="other")
    both = nodes.Sum("sum", (2, 3, 1), conv.shape, -100, 100)
    check(network(conv, first, second, both, takes=takes))


@pytest.mark.parametrize("groups", [1, 8, 288])
def test_wide_neurons_behind_fixed_point(groups):
    takes = (8, 6, 6)
    rescale = nodes.Rescale(
        "rescale",
        (0, 0),
        takes,
        -(2**31),
        2**31 - 1,
        draw((2, groups), -70000, 70000).int(),
        draw((groups,), -999, 999).int(),
        7,
        4,
    )
    bounds = draw((groups, 60), -9000, 9000).sort(-1).values.int()
    neuron = nodes.WideNeuron(
        "neuron",
        (1,),
        takes,
        0,
        3,
        bounds,
        draw((61,), 0, 3).to(torch.uint8),
        draw((61,), 0, 49).to(torch.uint8),
        7,
        torch.zeros(1, 50, dtype=torch.float64),
        6,
        draw((groups, 50), -4000, 4000).int(),
    )
    for high in (1, 9, 250):  # sums of 32 and of 64 bits
        check(network(rescale, neuron, takes=takes, high=high))
        check(network(rescale, table(takes, groups, 3, 4, 3000, place=1), takes=takes, high=high))


def test_pools_orders_and_what_takes_another_shape():
    takes = (6, 8, 8)
    pool = nodes.SumPool("ap", (0,), (6, 4, 4), 0, 9, takes, (3, 3), (2, 2), (1, 1))
    largest = nodes.MaxPool("mp", (1,), (6, 3, 2), 0, 9, (6, 4, 4), (2, 3), (2, 2), (1, 1))
    order = nodes.Gather("order", (2, 0), (7, 60), 0, 9, draw((7, 60), 0, 36 + 384 - 1).int())
    vote = nodes.SumPool("vote", (3,), (1, 210), 0, 99, (1, 420), (2,), (2,), (0,))
    check(network(pool, largest, order, vote, takes=takes, low=-2, high=5))
    # pooling of places apart, and a convolution over a map that lies otherwise
    whole = nodes.SumPool("gap", (0,), (1, 6, 1), 0, 64, (1, 6, 64), (1, 64), (1, 64), (0, 0))
    check(network(whole, takes=takes))
    conv = convolution((12, 32), 9, (3,), (-1, 0, 1))
    flat = dataclasses.replace(table((270,), 9, 3, 4, 5), name="flat")
    linear = nodes.Linear("fc", (2,), (5,), -999, 999, draw((5, 270), -3, 3).to(torch.int8), 4, ())
    check(network(conv, flat, linear, takes=takes))


SPECS = {
    "ternary": presets.imsnn(weight_bits=4),
    "binary": QuantSpec(
        MembraneSpec(kind="uniform", bits=2, scale="fixed"), weight=WeightSpec(kind="binary")
    ),
    "6 bits": QuantSpec(
        MembraneSpec(kind="uniform", bits=6, scale="fixed"),
        weight=WeightSpec(kind="uniform", bits=8),
    ),
    **{
        f"spikes of {bits} bits": QuantSpec(
            spike=SpikeSpec(bits=bits), weight=WeightSpec(kind="uniform", bits=2)
        )
        for bits in (3, 8)
    },
}


@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_networks_of_both_hosts(spec, host):
    x = counts()
    integer = export.to_integer(string_net(spec, host), x)
    check(integer, integer.quantize(x))
    _, spikes = integer.compile(1)(x, spikes=True)  # floats are frames too
    assert all(torch.equal(spikes[name], sent) for name, sent in integer(x)[1].items())


@pytest.mark.slow
@pytest.mark.parametrize(
    "preset", [presets.imsnn(weight_bits=4), presets.qsnn(2)], ids=["imsnn", "qsnn"]
)
@pytest.mark.filterwarnings("ignore:the step's maximum")
def test_residual_networks(preset):
    torch.manual_seed(0)
    net = waken(ResidualNet(19, width=0.125, spec=preset))
    x = counts(steps=2, samples=2, shape=(3, 16, 16), high=255) / 255
    integer = export.to_integer(net, x)
    check(integer, integer.quantize(x))


@pytest.mark.parametrize("samples", [1, 3])
def test_threads_change_nothing(samples):
    integer = export.to_integer(string_net(), counts())
    x = counts(steps=11, samples=samples)
    check(integer, x, integer.compile(2, x))


def test_states_go_from_the_reference_to_the_runtime_and_back():
    integer = export.to_integer(string_net(), counts())
    x, compiled = counts(steps=6), integer.compile(1)
    wanted = integer(x)[0]
    state = {}
    found = [integer(x[:2], state)[0], compiled(x[2:4], state)[0], integer(x[4:], state)[0]]
    assert torch.equal(torch.cat(found), wanted)
    # what a caller has kept of an earlier state stays as it is
    kept = {name: stored.clone() for name, stored in state.items()}
    earlier = dict(state)
    compiled(x, state)
    assert all(torch.equal(earlier[name], stored) for name, stored in kept.items())
    assert any(not torch.equal(state[name].flatten(), kept[name].flatten()) for name in kept)


@pytest.mark.parametrize("seed", range(12))
def test_chains_of_signed_values(seed):
    integer = random_chain(seed)
    in_every_way(integer)
    check(integer, random_frames(integer, seed))


@pytest.mark.slow
@pytest.mark.parametrize("march", ["-march=x86-64", "-march=x86-64-v3"])
def test_other_machines_give_the_same(march, monkeypatch):
    machine = runtime.library()
    if machine.qsnn_vector_bytes() < 32:
        pytest.skip("this machine runs no wider vectors")
    flags = tuple(march if flag.startswith("-march") else flag for flag in FLAGS)
    monkeypatch.setattr(runtime, "FLAGS", flags)
    other = runtime.library.__wrapped__()
    assert other.qsnn_vector_bytes() == (16 if march == "-march=x86-64" else 32)
    monkeypatch.setattr(runtime, "library", lambda: other)
    takes = (70, 6, 5)
    for levels in CODES.values():
        conv = convolution(takes, 130, (3, 3), levels, padding=(1, 1))
        for low, high in INPUTS.values():
            in_every_way(network(conv, takes=takes, low=low, high=high))
        in_every_way(network(conv, table(conv.shape, 130, 3, 4, 40), takes=takes))
    for seed in range(8):  # every kind of node
        integer = random_network(seed)
        check(integer, random_frames(integer, seed))
    # ways that only some machines choose
    integer = network(convolution(takes, 70, (3, 3), (-1, 0, 1)), takes=takes, high=3)
    lowered = lower(integer, has_dot=True)
    for way in range(len(lowered.layers[0].ways)):
        chosen = lowered.replaced([layer.chosen(way) for layer in lowered.layers])
        check(integer, compiled=runtime.CompiledNetwork(chosen, build_plan(integer, chosen), 1))


def test_it_says_how_each_layer_runs():
    integer = export.to_integer(string_net(), counts())
    text = str(integer.compile(2, counts()))
    assert all(name in text for name in integer.neurons)
    assert "16-bit sums, neurons at once" in text
    assert "2 threads" in text
    assert "bytes of weights and tables" in text


def test_copies_are_the_network_itself_and_it_is_not_pickled():
    x = counts()
    compiled = export.to_integer(string_net(), x).compile(1)
    for copied in (copy.copy(compiled), copy.deepcopy({"deep": compiled})["deep"]):
        assert torch.equal(copied(x)[0], compiled(x)[0])
    with pytest.raises(ExportError, match="compile it where it is loaded"):
        pickle.dumps(compiled)
    lines = repr(compiled).splitlines()
    assert lines[0] == "CompiledNetwork("
    assert len(lines) == len(compiled.lowered.layers) + 3


def test_no_steps_and_no_samples():
    integer = export.to_integer(string_net(), counts())
    compiled = integer.compile(1)
    for x in (counts(steps=4, samples=1)[:0], counts(samples=1)[:, :0]):
        answers, spikes = compiled(x, spikes=True)
        assert answers.shape == (*x.shape[:2], 6)
        assert all(sent.shape[:2] == x.shape[:2] for sent in spikes.values())


def test_what_does_not_fit_is_refused():
    integer = export.to_integer(string_net(), counts())
    compiled = integer.compile(1)
    with pytest.raises(ArgumentError, match=r"frames.shape=\(4, 3, 2, 9, 8\)"):
        compiled(counts(shape=(2, 9, 8)))
    above = counts().long()
    above[0, 0, 0, 0, 0] = integer.input.high + 1
    with pytest.raises(ArgumentError, match=f"frames={integer.input.high + 1} is not allowed"):
        compiled(above)
    name = next(iter(integer.neurons))
    with pytest.raises(ArgumentError, match="shape"):
        compiled(counts(), {name: torch.zeros(3, 5).int()})
    with pytest.raises(ArgumentError, match="states from 0 to"):
        compiled(counts(), {name: torch.full((3, 8, 8, 8), 77)})
    for threads in (0, 257, 10**6, 1.5, True):
        with pytest.raises(ArgumentError, match=f"threads={threads} is not allowed"):
            integer.compile(threads)
    reach = 2**24
    codes = torch.full((1, 300), 127, dtype=torch.int8)
    linear = nodes.Linear("fc", (0,), (1,), 0, reach, codes, 8, ())
    with pytest.raises(ExportError, match=r"fc gives 0.*beyond 32 bits"):
        network(linear, takes=(300,), high=reach).compile(1)
