"""The classifier learns, refuses what it cannot learn from, and gives one result a seed."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from qsnn_plugins.errors import ArgumentError, DataError
from qsnn_plugins.lightning import SpikingClassifier
from qsnn_plugins.models import StringNet

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice


def test_it_learns_two_classes(model, loader, trainer):
    t = trainer(max_epochs=15, enable_checkpointing=False)
    t.fit(model, loader)
    assert t.test(model, loader, verbose=False)[0]["test_accuracy"] == 1.0
    thresholds = [p for name, p in model.named_parameters() if name.endswith("v_threshold")]
    assert len(thresholds) == 2
    assert all(p.item() != 1.0 for p in thresholds), "the thresholds learn"


def test_the_learning_rate_falls_to_zero_along_a_cosine(model, loader, trainer):
    t = trainer(max_epochs=4, enable_checkpointing=False)
    t.fit(model, loader)
    assert t.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


def test_logits_are_averaged_over_time(model, loader):
    frames, _ = next(iter(loader))
    model.eval()
    with torch.no_grad():
        logits = model(frames)
        assert logits.shape == (4, 8, 2)
        assert torch.equal(model.predict_step((frames, None), 0), logits.sum(0).argmax(-1))


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


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ArgumentError, match="schedule='linear'"):
        SpikingClassifier(StringNet("4C3-GAP-FC2"), schedule="linear")
