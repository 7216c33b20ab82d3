import random
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from qsnn_plugins import (
    MembraneSpec,
    QuantSpec,
    WeightSpec,
    allow_spec_changes,
    inject,
    load,
    presets,
    save,
)
from qsnn_plugins.errors import ArgumentError, ExportError
from qsnn_plugins.models import ResidualNet, StringNet
from qsnn_plugins.saving import describe
from tests.export.networks import counts, run_float, string_net

KINDS = ("uniform", "power_of_two", "binary", "mint", "sigmoid", "statistical", "tanh")


@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
@pytest.mark.parametrize(
    "preset", [presets.imsnn(weight_bits=4), presets.qsnn(2)], ids=["imsnn", "qsnn"]
)
@pytest.mark.filterwarnings("ignore:the step's maximum")
def test_a_loaded_network_computes_the_same(preset, host, tmp_path):
    network = string_net(preset, host)
    save(network, tmp_path / "network.safetensors")
    loaded = load(tmp_path / "network.safetensors")
    assert not loaded.training
    names = [name for name, module in network.named_modules() if hasattr(module, "quant_spec")]
    answer, spikes = run_float(network, counts(), names)
    again, same = run_float(loaded, counts(), names)
    assert torch.equal(answer, again)
    assert all(torch.equal(spikes[name], same[name]) for name in names)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "tanh"])
def test_every_weight_comes_back_quantized(kind, tmp_path):
    network = string_net(QuantSpec(weight=WeightSpec(kind=kind)))
    save(network, tmp_path / "network.safetensors")
    loaded = load(tmp_path / "network.safetensors")
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert torch.equal(loaded.get_submodule(name).weight, module.weight)


def test_codes_take_their_bits(tmp_path):
    save(string_net(), tmp_path / "network.safetensors")
    with safe_open(tmp_path / "network.safetensors", framework="pt") as file:
        stored = file.get_tensor("blocks.conv2.synapse.0.parametrizations.weight.original")
    assert (stored.dtype, stored.numel()) == (torch.uint8, 8 * 16 * 9 * 4 // 8)


def test_training_goes_on(tmp_path):
    save(string_net(), tmp_path / "network.safetensors")
    network = load(tmp_path / "network.safetensors").train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    before = network.blocks.conv1.synapse[0].parametrizations.weight.original.clone()
    network(counts()).square().sum().backward()
    optimizer.step()
    assert not torch.equal(before, network.blocks.conv1.synapse[0].parametrizations.weight.original)


def own_network(bits=4):
    network = nn.Sequential(
        layer.Conv2d(2, 4, 3), layer.BatchNorm2d(4), neuron.LIFNode(), layer.Flatten(),
        layer.Linear(144, 3),
    )  # fmt: skip
    inject(network, presets.imsnn(weight_bits=bits))
    functional.set_step_mode(network, "m")
    return network.eval()


def test_an_own_network_is_given(tmp_path):
    torch.manual_seed(0)
    network, path = own_network(), tmp_path / "own.safetensors"
    save(network, path)
    with pytest.raises(ExportError, match="build and inject it as before"):
        load(path)
    assert torch.equal(load(path, own_network())(counts()), network(counts()))
    with pytest.raises(ExportError, match="4 in the state, 2 here"):
        load(path, own_network(bits=2))
    with allow_spec_changes():
        load(path, own_network(bits=2))


def test_a_refused_file_leaves_the_network_as_it_was(tmp_path):
    save(own_network(), tmp_path / "own.safetensors")
    network = own_network(bits=2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ExportError):
        load(tmp_path / "own.safetensors", network)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("given", ["lazy", "meta", "torch.sparse_coo"])
def test_tensors_without_values_are_refused_by_name(given, tmp_path):
    network = own_network()
    if given == "lazy":
        network.more = nn.LazyLinear(2)
    else:
        tensor = torch.eye(2, device="meta") if given == "meta" else torch.eye(2).to_sparse()
        network.register_buffer("more", tensor)
    with pytest.raises(ArgumentError, match=rf"network\.more.*{given}.* a dense tensor"):
        save(network, tmp_path / "own.safetensors")


def test_a_checkpoint_of_a_recipe_is_one_line(tmp_path):
    from lightning.pytorch import Trainer

    from qsnn_plugins.lightning import SpikingClassifier

    network = string_net()
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(SpikingClassifier(network))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert torch.equal(load(tmp_path / "last.ckpt")(counts()), network(counts()))
    (tmp_path / "last.ckpt").write_bytes((tmp_path / "last.ckpt").read_bytes()[:-200])
    with pytest.raises(ExportError, match="cannot be read"):
        load(tmp_path / "last.ckpt")


def test_overrides_and_residual_networks(tmp_path):
    network = ResidualNet(19, width=0.0625, spec=presets.imsnn(weight_bits=4),
                          overrides={"blocks.fc2.*": None}).eval()  # fmt: skip
    save(network, tmp_path / "network.safetensors")
    loaded = load(tmp_path / "network.safetensors")
    assert str(loaded) == str(network)


def test_nothing_is_loaded_into_meta(tmp_path):
    save(own_network(), tmp_path / "own.safetensors")
    with pytest.raises(ArgumentError, match=r"network\.0\..*'meta' is not allowed"):
        load(tmp_path / "own.safetensors", own_network().to("meta"))


@pytest.mark.parametrize("is_transposed", [False, True])
def test_tied_weights_stay_tied(is_transposed, tmp_path):
    def tied():
        network = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), neuron.LIFNode(), nn.Linear(6, 2))
        first = network[0].weight
        network[1].weight = nn.Parameter(first.detach().t()) if is_transposed else first
        inject(network, QuantSpec(weight=WeightSpec(kind="uniform", bits=4)))
        return network

    network = tied()
    save(network, tmp_path / "network.safetensors")
    loaded = load(tmp_path / "network.safetensors", tied())
    assert torch.equal(loaded[1].weight, network[1].weight)


def test_broken_files_are_one_sentence(tmp_path):
    path = tmp_path / "network.safetensors"
    save(StringNet("4C3-GAP-FC2", spec=presets.imsnn(weight_bits=4)), path)
    content = path.read_bytes()
    for cut in (0, 4, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(ExportError, match="cannot be read"):
            load(path)
    save_file({"x": torch.ones(1)}, path)
    with pytest.raises(ExportError, match="contains no network"):
        load(path)
    broken = content.replace(b'\\"StringNet\\"', b'\\"TimeFalseN\\"')
    path.write_bytes(broken)
    with pytest.raises(ExportError):
        load(path)


@pytest.mark.parametrize("kind", ["safetensors", "ckpt"])
def test_every_flipped_bit_is_noticed(kind, tmp_path):
    network, path = string_net(), tmp_path / f"network.{kind}"
    if kind == "ckpt":
        state = {f"network.{key}": value for key, value in network.state_dict().items()}
        torch.save({"state_dict": state, "network": describe(network)}, path)
    else:
        save(network, path)
    load(path)
    content, draw = path.read_bytes(), random.Random(0)
    weight = next(v for v in network.state_dict().values() if v.numel() > 500)
    packed = content.find(weight.numpy().tobytes()) if kind == "ckpt" else -1
    start = packed if packed >= 0 else 8 + int.from_bytes(content[:8], "little")
    end = start + 4 * weight.numel() if packed >= 0 else len(content)
    for _ in range(20):
        flipped = bytearray(content)
        flipped[draw.randrange(start, end)] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(ExportError, match="is damaged: "):
            load(path)


def test_what_is_no_file_of_a_network_is_told_apart(tmp_path):
    with pytest.raises(ExportError, match="is a folder: give the file in it"):
        load(tmp_path)
    torch.save(StringNet("4C3-GAP-FC2").state_dict(), tmp_path / "state.pt")
    with pytest.raises(ExportError, match=r"a state dict alone goes into network\.load_state_dict"):
        load(tmp_path / "state.pt")


def test_a_file_imports_nothing(tmp_path):
    membrane = MembraneSpec(kind="custom", class_path="torch.nn.Hardtanh")
    network = string_net()
    network.init_args["spec"] = QuantSpec(membrane)
    save(network, tmp_path / "network.safetensors")
    with safe_open(tmp_path / "network.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = file.metadata()["content"].replace("torch.nn.Hardtanh", "this.and.Hardtanh")
        metadata = {"format": file.metadata()["format"], "content": text}  # as earlier versions
    save_file(tensors, tmp_path / "evil.safetensors", metadata=metadata)
    with pytest.raises(ExportError, match=r"quantizer this.and.Hardtanh: import this.and first"):
        load(tmp_path / "evil.safetensors")
    assert "this" not in sys.modules
