import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import MembranePruning
from qsnn_plugins.spec import PruningSpec


def test_both_masks_and_what_they_took():
    torch.manual_seed(0)
    prune = MembranePruning(PruningSpec(spatial_ratio=0.35, channel_threshold=0.5), channels=8)
    steps = [torch.randn(3, 8, 5, 5) for _ in range(4)]
    pruned = [prune(u) for u in steps]
    spatial, channel, neurons = prune.sparsity()
    zero = torch.stack([(p == 0).float().mean() for p in pruned]).mean().item()
    dead = torch.stack([(p == 0).flatten(2).all(2).float().mean() for p in pruned]).mean().item()
    assert spatial == pytest.approx(int(0.35 * 200) / 200, rel=1e-6)
    assert 0.1 < channel == pytest.approx(dead, rel=1e-6)
    assert neurons == pytest.approx(zero, rel=1e-6)
    for p, u in zip(pruned, steps, strict=True):
        assert torch.equal(p[p != 0], u[p != 0])


def test_restart_begins_the_account_anew():
    prune = MembranePruning(PruningSpec(spatial_ratio=0.5))
    with pytest.raises(ArgumentError, match="steps=0 is not allowed"):
        prune.sparsity()
    prune(torch.zeros(1, 4))  # silent: nothing to choose from
    prune.restart()
    prune(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    assert prune.sparsity() == (0.5, 0.0, 0.5)


def test_a_step_that_was_masked_elsewhere_counts_as_one():
    prune = MembranePruning(PruningSpec(spatial_ratio=0.5))
    prune(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    prune.observe(torch.tensor([0.25, 0.0, 0.25]))
    assert prune.sparsity() == (0.375, 0.0, 0.375)


def test_the_predictor_learns_through_the_gate():
    torch.manual_seed(1)
    prune = MembranePruning(PruningSpec(channel_threshold=0.47), channels=6)
    u = torch.randn(4, 6, 3, 3, requires_grad=True)
    prune(u).square().sum().backward()
    assert prune.predictor.weight.grad.abs().sum() > 0
    kept = (prune(u) != 0).float()
    torch.testing.assert_close(u.grad, 2 * u * kept)


def test_channels_are_needed_for_their_masks():
    with pytest.raises(ArgumentError, match="channels=None is not allowed"):
        MembranePruning(PruningSpec(channel_threshold=0.47))
