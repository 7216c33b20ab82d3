import json
import random

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from qsnn_plugins import export, load
from qsnn_plugins import save as save_trained
from qsnn_plugins.errors import ArgumentError, ExportError
from qsnn_plugins.export.files import save, smallest
from qsnn_plugins.export.nodes import Input, Neuron, Output
from qsnn_plugins.spec import MembraneSpec, QuantSpec, WeightSpec
from tests.export.networks import counts, string_net


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    membrane = MembraneSpec(kind="uniform", bits=6, scale="fixed", scale_value=1.3)
    integer = export.to_integer(
        string_net(QuantSpec(membrane, weight=WeightSpec(kind="uniform", bits=4))), counts()
    )
    path = tmp_path_factory.mktemp("saved") / "network.safetensors"
    integer.save(path)
    return integer, path


def test_what_is_loaded_is_what_was_saved(saved):
    integer, path = saved
    loaded = export.load(path)
    answers, spikes = integer(counts())
    again, same = loaded(counts())
    assert torch.equal(answers, again)
    assert all(torch.equal(spikes[name], same[name]) for name in spikes)
    assert str(loaded) == str(integer)
    for own, other in zip(integer.nodes, loaded.nodes, strict=True):
        assert all(getattr(own, n).dtype == getattr(other, n).dtype for n in own.tensors), own.name


def test_a_loaded_network_compiles_to_the_same(saved):
    integer, path = saved
    answers, spikes = export.load(path).compile()(counts(), spikes=True)
    wanted, sent = integer(counts())
    assert torch.equal(answers, wanted)
    assert all(torch.equal(spikes[name], sent[name]) for name in sent)


def test_bounds_far_apart_in_narrow_integers_ascend(tmp_path):
    bounds = torch.tensor([[[-64, 113]]], dtype=torch.int32)  # 177 apart, each within 8 bits
    tables = {"spikes": [0, 0, 1], "next_state": [0, 0, 0]}
    named = {name: torch.tensor(values, dtype=torch.uint8) for name, values in tables.items()}
    neuron = Neuron(
        "neuron", (0,), (2,), 0, 1, bounds, **named, first_state=0, states=torch.zeros(1, 1), bits=1
    )
    ones, zeros = torch.ones(1, 2).long(), torch.zeros(2).long()
    nodes = (
        Input("input", (), (2,), 0, 255, unit=1.0),
        neuron,
        Output("answer", (1,), (2,), 0, 1, ones, zeros, unit=1.0),
    )
    export.IntegerNetwork(nodes).save(tmp_path / "network.safetensors")
    loaded = export.load(tmp_path / "network.safetensors")
    assert torch.equal(loaded.nodes[1].bounds, bounds)


def test_what_is_printed_is_a_line_per_layer(saved):
    network = saved[0]
    lines = repr(network).splitlines()
    assert lines[0] == "IntegerNetwork("
    assert lines[1] == "  (0): Input(input, inputs=(), shape=(2, 8, 8))"
    assert len(lines) == len(network.nodes) + 2
    assert "codes=int8 [" in repr(network.nodes[1])
    assert all("tensor(" not in repr(node) for node in network.nodes)


def test_values_that_no_memory_holds_are_refused_at_once(saved, tmp_path):
    target = tmp_path / "changed.safetensors"
    change(saved[1], target, EDITS["1e9 inputs"])
    with pytest.raises(ExportError, match=r"layer 0 \(input\) gives 1,000,000,000 values"):
        export.load(target)


def test_codes_are_packed_in_their_bits(saved):
    integer, path = saved
    with safe_open(path, framework="pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    weights = sum(t.numel() for name, t in stored.items() if name.endswith(".codes"))
    assert weights == sum(each.weights for each in integer.accounts)
    rest = sum(
        t.numel() * t.element_size()
        for name, t in stored.items()
        if not name.endswith((".codes", ".states"))
    )
    assert rest == sum(each.bounds for each in integer.accounts)


def test_nothing_is_left_of_a_file_that_fails(tmp_path, saved):
    with pytest.raises(ArgumentError, match=r"give a path that can be written .No such file"):
        save(saved[0], tmp_path / "missing" / "network.safetensors")
    assert not list(tmp_path.iterdir())


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ExportError, match="cannot be read"):
        export.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("not a file of tensors")
    with pytest.raises(ExportError, match="cannot be read"):
        export.load(tmp_path / "text.safetensors")
    save_file({"x": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ExportError, match="contains no integer network"):
        export.load(tmp_path / "other.safetensors")
    with pytest.raises(ExportError, match="is a folder: give the file in it"):
        export.load(tmp_path)


def test_each_load_names_the_one_that_reads_the_other_kind_of_file(tmp_path, saved):
    with pytest.raises(ExportError, match=r"`qsnn_plugins\.export\.load` reads integer networks"):
        load(saved[1])
    save_trained(string_net(), tmp_path / "trained.safetensors")
    with pytest.raises(ExportError, match=r"`qsnn_plugins\.load` reads trained networks"):
        export.load(tmp_path / "trained.safetensors")


def change(path, target, edit):
    """Write a copy whose description is changed, without a digest, as earlier versions wrote it."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata())
    assert len(metadata.pop("sha256")) == 64
    content = json.loads(metadata["network"])
    edit(content, tensors)
    metadata["network"] = json.dumps(content)
    save_file(tensors, target, metadata=metadata)


def neuron_of(content):
    place = next(i for i, layer in enumerate(content["layers"]) if layer["kind"] == "WideNeuron")
    return place, content["layers"][place]


EDITS = {
    "version": lambda c, t: c.update(version=99),
    "kind": lambda c, t: c["layers"][1].update(kind="os.system"),
    "no layers": lambda c, t: c.update(layers=[]),
    "input": lambda c, t: c["layers"][1].update(inputs=[5]),
    "itself": lambda c, t: c["layers"][1].update(inputs=[1]),
    "shape": lambda c, t: c["layers"][1].update(shape=[10**9, 10**9, 1]),
    "1e9 inputs": lambda c, t: c["layers"][0].update(shape=[10**9]),
    "negative": lambda c, t: c["layers"][1].update(shape=[-8, 8, 8]),
    "stride": lambda c, t: c["layers"][1].update(stride=[0, 0]),
    "takes": lambda c, t: c["layers"][1].update(takes=[2, 9, 9]),
    "groups": lambda c, t: c["layers"][1].update(groups=3),
    "levels": lambda c, t: c["layers"][1].update(levels=[0]),
    "range": lambda c, t: c["layers"][0].update(high=2**40),
    "unknown": lambda c, t: c["layers"][1].update(extra=1),
    "missing": lambda c, t: c["layers"][1].pop("stride"),
    "words": lambda c, t: c["layers"][1].update(padding="1"),
    "first state": lambda c, t: neuron_of(c)[1].update(first_state=300),
    "tensor": lambda c, t: t.pop("1.codes"),
    "next state": lambda c, t: t[f"{neuron_of(c)[0]}.next_state"].fill_(120),
    "bounds": lambda c, t: t[f"{neuron_of(c)[0]}.bounds"].neg_(),
    "no output": lambda c, t: c["layers"].pop(),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_does_not_fit_together_is_one_sentence(name, saved, tmp_path):
    target = tmp_path / "changed.safetensors"
    change(saved[1], target, EDITS[name])
    with pytest.raises(ExportError) as caught:
        export.load(target)
    assert "\n" not in str(caught.value)


VALUES = (
    *(None, True, -1, 0, 1, 7, 2**31, 2**40, 10**30, 0.5, float("nan"), float("inf"), "", "input"),
    *([], [0], [-1], [3, 3], [0, 0], [10**6], [[1]], ["x"], [1.0], {}, {"kind": "Input"}),
)
TYPES = torch.float32, torch.int64, torch.bool, torch.uint8, torch.int8, torch.complex64


def leaves(value, path=()):
    """Paths to everything that JSON holds."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield *path, key
        if isinstance(inner, dict | list):
            yield from leaves(inner, (*path, key))


def test_values_and_tensors_of_another_kind_never_end_in_a_traceback(saved, tmp_path):
    draw, refused = random.Random(0), 0

    def edit(content, tensors):
        *path, last = draw.choice(list(leaves(content)))
        for key in path:
            content = content[key]
        value = content[last]
        near = type(value) is int and draw.random() < 0.5
        content[last] = value + draw.choice((-2, -1, 1, 2)) if near else draw.choice(VALUES)

    def edit_tensor(content, tensors):
        name = draw.choice(list(tensors))
        tensor = tensors[name]
        tensors[name] = draw.choice(
            (
                lambda: tensor.to(draw.choice(TYPES)),
                lambda: tensor.flatten()[: draw.randrange(tensor.numel())].clone(),
                lambda: tensor.unsqueeze(0).clone(),
                lambda: tensor.roll(1),
                lambda: tensor[:0].clone(),
                lambda: tensors[draw.choice(list(tensors))].clone(),
            )
        )()

    target = tmp_path / "changed.safetensors"
    for _ in range(80):
        change(saved[1], target, edit if draw.random() < 0.7 else edit_tensor)
        try:
            loaded = export.load(target)
        except ExportError:
            refused += 1
            continue
        loaded.to_c(tmp_path / "c")
        if loaded.input.shape == (2, 8, 8):
            loaded(counts(high=1))
    assert refused > 40


def test_files_of_earlier_versions_load(saved, tmp_path):
    target = tmp_path / "earlier.safetensors"
    change(saved[1], target, lambda content, tensors: content["layers"][0].update(unit=1))
    assert torch.equal(export.load(target)(counts())[0], saved[0](counts())[0])
    assert type(export.load(target).input.unit) is float


def test_every_flipped_bit_of_tensors_and_description_is_noticed(saved, tmp_path):
    content, draw = bytearray(saved[1].read_bytes()), random.Random(0)
    data = 8 + int.from_bytes(content[:8], "little")
    target = tmp_path / "flipped.safetensors"
    places = [draw.randrange(data, len(content)) for _ in range(60)]
    # digits that say how the neurons begin
    places += [content.index(b'\\"first_state\\": ') + len(b'\\"first_state\\": ')]
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 if place < data else 1 << draw.randrange(8)
        target.write_bytes(flipped)
        with pytest.raises(ExportError, match="is damaged: its contents have another SHA-256"):
            export.load(target)


def test_damaged_bytes_never_end_in_a_traceback(saved, tmp_path):
    content = bytearray(saved[1].read_bytes())
    generator = random.Random(0)
    target = tmp_path / "damaged.safetensors"
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(generator.randint(1, 4)):
            damaged[generator.randrange(min(len(damaged), 9000))] = generator.randrange(256)
        if generator.random() < 0.2:
            del damaged[generator.randrange(len(damaged)) :]
        target.write_bytes(damaged)
        try:
            loaded = export.load(target)
        except ExportError:
            continue
        loaded(counts())  # what loads also runs


def test_integers_are_as_narrow_as_they_can_be():
    assert [smallest(torch.tensor([v])).dtype for v in (-128, 128, 40000, 2**40)] == [
        torch.int8, torch.int16, torch.int32, torch.int64,
    ]  # fmt: skip
