"""The classifier learns, refuses what it cannot learn from, and gives one result a seed."""

from contextlib import nullcontext
from copy import deepcopy
from functools import partial

import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

from qsnn_plugins import QuantSpec, allow_spec_changes, presets
from qsnn_plugins.errors import ArgumentError, DataError
from qsnn_plugins.lightning import SpikingClassifier
from qsnn_plugins.models import HostedNet, StringNet
from qsnn_plugins.nn import (
    Binary,
    SigmoidQuantizer,
    WSDRLoss,
    channel_gates,
    quantized_neurons,
    soft_weights,
    weight_layers,
)
from qsnn_plugins.spec import PruningSpec, SpikeSpec

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice


def test_it_learns_two_classes(model, loader, trainer):
    t = trainer(max_epochs=15, enable_checkpointing=False)
    t.fit(model, loader)
    assert t.test(model, loader, verbose=False)[0]["test_accuracy"] == 1.0
    thresholds = [p for name, p in model.named_parameters() if name.endswith("v_threshold")]
    assert len(thresholds) == 2
    assert all(p.item() != 1.0 for p in thresholds), "the thresholds learn"


def test_a_copy_leaves_what_builds_the_optimizer_alone(model):
    """The parser's builders hold on to the trainer; averaging callbacks copy the module."""
    held = (item for item in ())  # cannot be copied
    build = partial(lambda _, parameters: torch.optim.Adam(parameters), held)
    copied = deepcopy(SpikingClassifier(model.network, optimizer=build))
    assert isinstance(copied.optimizer(copied.parameters()), torch.optim.Adam)
    assert copied.network is not model.network


def test_logits_are_averaged_over_time(model, loader):
    frames, _ = next(iter(loader))
    model.eval()
    with torch.no_grad():
        logits = model(frames)
        assert logits.shape == (4, 8, 2)
        assert torch.equal(model.predict_step((frames, None), 0), logits.sum(0).argmax(-1))


def test_synchronized_norms_are_refused_where_they_would_lose_the_steps(model):
    hosted = HostedNet("spikformer_2_384", width=0.0625)
    for network, is_refused in ((model.network, False), (hosted, True)):
        one = SpikingClassifier(network)
        one.on_fit_start()
        one.network = torch.nn.SyncBatchNorm.convert_sync_batchnorm(network)
        assert any(isinstance(part, torch.nn.SyncBatchNorm) for part in one.modules())
        with pytest.raises(ArgumentError, match="sync_batchnorm") if is_refused else nullcontext():
            one.on_fit_start()


def test_gates_follow_synchronized_norms():
    spec = QuantSpec(pruning=PruningSpec(channel_threshold=0.5))
    one = SpikingClassifier(StringNet("4C3-4C3-GAP-FC2", spec=spec))
    one.network = torch.nn.SyncBatchNorm.convert_sync_batchnorm(one.network)
    one.on_fit_start()
    (gate,) = channel_gates(one.network).values()
    assert isinstance(gate._masked[0], torch.nn.SyncBatchNorm)


def test_spikes_of_another_height_have_no_rates_to_regulate():
    network = StringNet("4C3-GAP-FC2", spec=QuantSpec(spike=SpikeSpec(value="threshold")))
    with pytest.raises(ArgumentError, match=r"WSDRLoss.*spike.value is 'threshold'"):
        SpikingClassifier(network, loss=WSDRLoss()).on_fit_start()


def test_samples_start_from_rest(model, loader):
    frames, _ = next(iter(loader))
    model.eval()
    with torch.no_grad():
        assert torch.equal(model(frames), model(frames))


def test_labels_out_of_range_are_one_sentence(model, trainer):
    data = TensorDataset(torch.zeros(4, 2, 2, 8, 8), torch.tensor([0, 1, 2, 1]))
    with pytest.raises(DataError, match="labels run from 0 to 2, but the network has 2 outputs"):
        trainer(max_epochs=1).fit(model, DataLoader(data, batch_size=4))


def test_frames_with_other_channels_are_one_sentence(model, trainer):
    data = TensorDataset(torch.zeros(4, 2, 3, 8, 8), torch.zeros(4, dtype=torch.long))
    with pytest.raises(ArgumentError, match=r"input shape=\[2, 4, 3, 8, 8\]"):
        trainer(max_epochs=1).fit(model, DataLoader(data, batch_size=4))


def test_an_image_is_shown_at_every_step():
    torch.manual_seed(0)
    network = StringNet("4C3-GAP-FC2", in_channels=3)
    model, same = SpikingClassifier(network, time_steps=5).eval(), SpikingClassifier(network).eval()
    images = torch.randint(0, 9, (2, 3, 6, 6), dtype=torch.uint8)
    logits = model(images)
    assert logits.shape == (5, 2, 2)
    assert torch.equal(logits, same(images.unsqueeze(1).repeat(1, 5, 1, 1, 1)))
    assert not torch.equal(logits[0], logits[1]), "the membrane goes on from step to step"


def test_static_images_train(trainer):
    torch.manual_seed(0)
    labels = torch.arange(32) % 2
    images = torch.rand(32, 2, 8, 8)
    images[torch.arange(32), labels] = 0
    loader = DataLoader(TensorDataset(images, labels), batch_size=8)
    adam = partial(torch.optim.Adam, lr=1e-2)
    model = SpikingClassifier(StringNet("8C3-AP2-8C3-GAP-FC2"), optimizer=adam, time_steps=3)
    t = trainer(max_epochs=15, enable_checkpointing=False)
    t.fit(model, loader)
    assert t.test(model, loader, verbose=False)[0]["test_accuracy"] == 1.0


def test_images_and_recordings_are_not_taken_for_each_other():
    network = StringNet("4C3-GAP-FC2", in_channels=3)
    with pytest.raises(ArgumentError, match=r"time_steps=None.*\[2, 3, 6, 6\] has images"):
        SpikingClassifier(network)(torch.zeros(2, 3, 6, 6))
    with pytest.raises(ArgumentError, match=r"time_steps=4.*\[2, 4, 3, 6, 6\] has steps"):
        SpikingClassifier(network, time_steps=4)(torch.zeros(2, 4, 3, 6, 6))
    with pytest.raises(ArgumentError, match="time_steps=0"):
        SpikingClassifier(network, time_steps=0)


def test_an_optimizer_of_one_group_trains_learned_scales(loader, trainer):
    network = StringNet("4C3-GAP-FC2", spec=presets.spquant(pruned=False), host="snntorch")
    model = SpikingClassifier(network, optimizer=partial(torch.optim.LBFGS, lr=0.01, max_iter=2))
    before = [parameter.clone() for parameter in network.parameters()]
    t = trainer(max_epochs=1, enable_checkpointing=False)
    t.fit(model, loader)
    (group,) = t.optimizers[0].param_groups
    assert len(group["params"]) == len(before)
    assert any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ArgumentError, match="schedule='linear'"):
        SpikingClassifier(StringNet("4C3-GAP-FC2"), schedule="linear")


def test_binary_weights_and_spike_regulation_train_together(loader, trainer):
    torch.manual_seed(0)
    network = StringNet("8C3-AP2-8C3-8C3-GAP-FC2", spec=presets.qsnn(fidelity="released"))
    model = SpikingClassifier(network, loss=WSDRLoss(lamb=1.0))
    rates = []
    for node in quantized_neurons(network).values():
        node.register_forward_hook(lambda _, __, s: rates.append(float(s.mean())))
    frames, labels = next(iter(loader))
    outputs = model(frames)
    cross_entropy = torch.nn.functional.cross_entropy(outputs.flatten(0, 1), labels.repeat(4))
    regulation = (rates[1] - 0.5) ** 2  # of three layers the first and the last are left out
    assert float(model._loss(frames, labels)) == pytest.approx(
        float(cross_entropy) + regulation, rel=1e-5
    )

    trainer(max_epochs=4, enable_checkpointing=False).fit(model, loader)
    sharpness = [m.t.item() for m in network.modules() if isinstance(m, Binary)]
    assert sharpness == pytest.approx([10 ** (-1 + 2 * 3 / 4)] * len(sharpness))
    assert len(sharpness) == 2


def test_soft_and_hard_weights_are_both_reported(loader, trainer):
    torch.manual_seed(0)
    spec = presets.sigmoid_quantizer(weight_bits=2)
    model = SpikingClassifier(StringNet("8C3-GAP-FC2", spec=spec))
    t = trainer(max_epochs=3, enable_checkpointing=False)
    t.fit(model, loader, loader)
    quantizers = [m for m in model.modules() if isinstance(m, SigmoidQuantizer)]
    assert [float(q.temperature) for q in quantizers] == [5.0, 5.0]  # 1 + 2 an epoch
    assert {"val_accuracy", "val_accuracy_soft"} <= set(t.callback_metrics)
    frames, _ = next(iter(loader))
    model.eval()
    with torch.no_grad():
        hard = model(frames)
        with soft_weights(model):
            soft = model(frames)
        assert not torch.equal(soft, hard)
        assert torch.equal(model(frames), hard)


def test_weights_are_kept_where_bits_and_steps_change():
    trained = SpikingClassifier(StringNet("4C3-8C3-GAP-FC2"), time_steps=2)
    other = SpikingClassifier(StringNet("4C3-8C3-GAP-FC2", spec="imsnn"), time_steps=4)
    with allow_spec_changes():
        other.load_state_dict(trained.state_dict())
    for name, layer in weight_layers(trained.network).items():
        loaded = other.network.get_submodule(name).parametrizations.weight.original
        assert torch.equal(loaded, layer.weight)
    back = SpikingClassifier(StringNet("4C3-8C3-GAP-FC2"), time_steps=2)
    with allow_spec_changes(), pytest.raises(RuntimeError, match="Missing key"):
        back.load_state_dict(other.state_dict())  # and never as it was initialized


class Folded(LightningDataModule):
    """Data of which one fold is tested."""

    def __init__(self, loader, fold):
        super().__init__()
        self.loader, self.fold = loader, fold

    def split_facts(self):
        return {"fold": self.fold}

    def train_dataloader(self):
        return self.loader

    test_dataloader = train_dataloader


def test_a_checkpoint_of_another_split_is_not_tested(loader, trainer, tmp_path):
    def classifier():
        return SpikingClassifier(StringNet("4C3-AP2-8C3-GAP-FC2"))

    run, path = trainer(max_epochs=1), tmp_path / "last.ckpt"
    run.fit(classifier(), datamodule=Folded(loader, 0))
    run.save_checkpoint(path)
    options = {"ckpt_path": path, "weights_only": True}
    trainer().test(classifier(), datamodule=Folded(loader, 0), **options)
    with pytest.raises(RuntimeError, match="fold is 0 in the state, 1 here"):
        trainer().test(classifier(), datamodule=Folded(loader, 1), **options)
