"""TensorBoard's own reader finds what the callback wrote, against counts of our own."""

import sys

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from qsnn_plugins.cost.neurons import all_neurons
from qsnn_plugins.errors import ArgumentError, DependencyError
from qsnn_plugins.lightning import SpikingClassifier, TensorBoard
from qsnn_plugins.models import StringNet

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"histograms": 0, "scalars": 0})
    return events.Reload()


@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
def test_histograms_and_rates_of_a_training(host, loader, trainer, tmp_path):
    model = SpikingClassifier(StringNet("8C3-AP2-8C3-GAP-FC2", host=host))
    name = next(iter(all_neurons(model.network)))
    fired, total = 0.0, 0

    def count(neuron, inputs, output):
        nonlocal fired, total
        spikes = output[0] if isinstance(output, tuple) else output
        if neuron.training:
            fired, total = fired + float(spikes.detach().sum()), total + spikes.numel()

    model.network.get_submodule(name).register_forward_hook(count)
    trainer(
        max_epochs=2,
        logger=CSVLogger(tmp_path, "fit"),
        callbacks=[TensorBoard(samples=3)],
        enable_checkpointing=False,
        log_every_n_steps=1,
    ).fit(model, loader, loader)
    folder = tmp_path / "fit" / "version_0"
    assert (folder / "metrics.csv").is_file()
    events = read(folder)
    rates = [event.value for event in events.Scalars(f"rate/{name}")]
    assert sum(rates) / 2 == pytest.approx(fired / total, rel=1e-5)  # epochs of the same size
    assert len(events.Scalars("train_loss")) == 8
    assert [e.step for e in events.Histograms(f"membrane/{name}")] == [1, 5]
    last = events.Histograms(f"membrane/{name}")[-1].histogram_value
    assert last.num == 3 * 8 * 8 * 8  # samples, channels, height, width
    assert {last.min, last.max} <= {-1.0, 0.0, 1.0}  # a ternary membrane
    per_neuron = events.Histograms(f"rate_of_neurons/{name}")[0].histogram_value
    assert per_neuron.num == 8 * 8 * 8
    assert 0 <= per_neuron.min <= per_neuron.max <= 1


def test_a_rehearsal_is_not_logged(model, loader, trainer, tmp_path):
    trainer(callbacks=[TensorBoard()], fast_dev_run=True).fit(model, loader, loader)
    assert not [*tmp_path.iterdir()]


def test_a_test_is_logged_and_no_hook_stays(model, loader, trainer, tmp_path):
    before = [dict(module._forward_hooks) for module in model.modules()]
    trainer(logger=CSVLogger(tmp_path, "test"), callbacks=[TensorBoard()]).test(
        model, loader, verbose=False
    )
    assert [dict(module._forward_hooks) for module in model.modules()] == before
    tags = read(tmp_path / "test" / "version_0").Tags()
    assert "test_accuracy" in tags["scalars"]
    assert "membrane/blocks.conv2.neuron" in tags["histograms"]


def test_a_training_is_the_same_with_it(loader, trainer):
    def weights(*callbacks):
        torch.manual_seed(0)
        model = SpikingClassifier(StringNet("4C3-GAP-FC2"))
        trainer(max_epochs=1, callbacks=[*callbacks], enable_checkpointing=False).fit(model, loader)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(weights(), weights(TensorBoard()))


def test_what_is_missing_or_wrong_is_named(monkeypatch):
    with pytest.raises(ArgumentError, match="samples=0 is not allowed"):
        TensorBoard(samples=0)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(DependencyError, match=r"pip install 'qsnn-plugins\[tensorboard\]'"):
        TensorBoard()
