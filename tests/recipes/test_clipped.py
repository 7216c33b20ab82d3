"""IM-SNN Table I: a trained float network is clipped at its test, and not trained on."""

import csv
import logging

import pytest
import torch
from sklearn.datasets import load_digits

from qsnn_plugins import allow_spec_changes, cli
from qsnn_plugins.models import StringNet
from qsnn_plugins.nn import MeanCrossEntropyLoss
from qsnn_plugins.reproduce.trained import trained_cells
from qsnn_plugins.spec import MembraneSpec, QuantSpec
from tests.recipes.configs import ROOT

SMALL = """
trainer: {max_epochs: 1, limit_train_batches: 20, enable_progress_bar: false}
model:
  init_args:
    network: {init_args: {width: 0.0625}}
    optimizer: {init_args: {lr: 0.01}}
"""
CELLS = {cell.row.row: cell for cell in trained_cells(["imsnn"]) if cell.table == "I"}


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging, "raiseExceptions", False)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    (tmp_path / "small.yaml").write_text(SMALL)
    small = ["-c", "recipes/overlays/embedded_static.yaml", "-c", "small.yaml"]

    def call(command, *more):
        words = command.replace("+float", "+embedded_static+small+float").split()
        monkeypatch.setattr("sys.argv", [*words[:4], *small, *words[4:], *more])
        return cli.lightning()

    return call


def accuracy(tmp_path, name):
    (newest, *_) = sorted(
        (tmp_path / "runs" / name / "test").glob("version_*/metrics.csv"), reverse=True
    )
    with newest.open() as file:
        return float(
            [row for row in csv.DictReader(file) if row["test_accuracy"]][-1]["test_accuracy"]
        )


def network(membrane):
    return StringNet("8C3-8C3-GAP-FC10", 1, (8, 8), QuantSpec(MembraneSpec(**membrane)))


def answers(net, images):
    net.eval().reset_states()
    with torch.no_grad():
        return net(images.expand(4, *images.shape)).sum(0)


def test_a_trained_network_is_loaded_under_any_bound_and_no_bound_changes_nothing():
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
    labels = torch.tensor(digits.target)
    trained = network({"kind": "float"}).train()
    optimizer, loss = torch.optim.Adam(trained.parameters(), 0.01), MeanCrossEntropyLoss()
    for step in range(40):
        batch = slice(32 * step, 32 * (step + 1))
        trained.reset_states()
        optimizer.zero_grad()
        loss(trained(images[batch].expand(4, *images[batch].shape)), labels[batch]).backward()
        optimizer.step()
    as_trained, found = answers(trained, images[1280:]), {}
    assert (as_trained.argmax(-1) == labels[1280:]).float().mean() > 0.3
    for lower in (-1e9, -5.0, -2.0, -1.0, -0.1):
        clipped = network({"kind": "clip", "lower": lower})
        with pytest.raises(RuntimeError, match=r"membrane\.kind is float in the state, clip here"):
            clipped.load_state_dict(trained.state_dict())
        with allow_spec_changes():
            clipped.load_state_dict(trained.state_dict())
        found[lower] = answers(clipped, images[1280:])
    assert torch.equal(found[-1e9], as_trained)
    far, near = ((found[lower] - as_trained).abs().mean() for lower in (-2.0, -0.1))
    assert 0 < far < near


@pytest.mark.slow
def test_a_float_network_is_clipped_at_its_test(call, tmp_path, capsys):
    fit = CELLS["float"].command
    assert call(fit) == 0
    assert call(fit.replace(" fit ", " test "), "--ckpt_path=last") == 0
    as_trained = accuracy(tmp_path, "imsnn_resnet19_cifar10+embedded_static+small+float")
    found = {}
    clipped = CELLS["clipped at -5.0"].command
    for lower in (-1e9, -0.1):
        assert call(clipped, f"--model.network.spec.membrane.lower={lower}") == 0
        found[lower] = accuracy(tmp_path, "imsnn_resnet19_cifar10+embedded_static+small+clipped")
    assert found[-1e9] == as_trained
    assert found[-0.1] != as_trained
    capsys.readouterr()
    assert call(clipped.replace("=allow", "=refuse")) == 2
    assert "`--ckpt_changes allow` says that the change is meant" in capsys.readouterr().err
