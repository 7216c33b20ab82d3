import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import MembranePruning
from qsnn_plugins.spec import PruningSpec


def test_what_is_masked_is_counted():
    torch.manual_seed(0)
    prune = MembranePruning(PruningSpec(spatial_ratio=0.35))
    steps = [torch.randn(3, 8, 5, 5) for _ in range(4)]
    pruned = [prune(u, 0.0) for u in steps]
    zero = torch.stack([(p == 0).float().mean() for p in pruned]).mean().item()
    assert prune.sparsity() == pytest.approx(int(0.35 * 200) / 200, rel=1e-6)
    assert prune.sparsity() == pytest.approx(zero, rel=1e-6)
    for p, u in zip(pruned, steps, strict=True):
        assert torch.equal(p[p != 0], u[p != 0])


def test_restart_begins_the_account_anew():
    prune = MembranePruning(PruningSpec(spatial_ratio=0.5))
    with pytest.raises(ArgumentError, match="steps=0 is not allowed"):
        prune.sparsity()
    prune(torch.zeros(1, 4), 0.0)  # silent: nothing to choose from
    prune.restart()
    prune(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), 0.0)
    assert prune.sparsity() == 0.5


def test_a_step_that_was_masked_elsewhere_counts_as_one():
    prune = MembranePruning(PruningSpec(spatial_ratio=0.5))
    prune(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), 0.0)
    prune.observe(torch.tensor(0.25))
    assert prune.sparsity() == 0.375


def test_an_empty_batch_has_no_share():
    pruning = MembranePruning(PruningSpec(spatial_ratio=0.5))
    pruning(torch.zeros(0, 4))
    pruning(torch.rand(2, 4))
    assert pruning.sparsity() == 0.5
