import pytest
import torch
from spikingjelly.activation_based import surrogate

from qsnn_plugins.nn import Spike
from qsnn_plugins.spikingjelly.legacy import IS_LEGACY

PAIRS = [
    ("triangle", lambda s: surrogate.PiecewiseQuadratic(alpha=s)),
    ("sigmoid", lambda s: surrogate.Sigmoid(alpha=s)),
    ("arctan", lambda s: surrogate.ATan(alpha=s)),
    ("rectangle", lambda s: surrogate.Rect(alpha=s)),
    ("piecewise_leaky_relu", lambda s: surrogate.PiecewiseLeakyReLU(w=1 / s, c=0.01 * s)),
]
if IS_LEGACY:  # it has no Rect, and its PiecewiseLeakyReLU is twice as steep
    del PAIRS[3:]


@pytest.mark.parametrize("sharpness", [1.0, 2.0, 4.0])
@pytest.mark.parametrize(("kind", "theirs"), PAIRS, ids=[kind for kind, _ in PAIRS])
def test_spikes_and_gradients_equal_the_hosts(kind, theirs, sharpness):
    torch.manual_seed(0)
    x = torch.cat([torch.randn(500, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)])
    upstream = torch.randn_like(x)
    results = []
    for spike in (Spike(kind, sharpness), theirs(sharpness)):
        leaf = x.clone().requires_grad_()
        spikes = spike(leaf)
        spikes.backward(upstream)
        results.append((spikes, leaf.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1].abs().max() > 0.1
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("kind", "theirs"), PAIRS, ids=[kind for kind, _ in PAIRS])
def test_primitive_equals_the_hosts(kind, theirs):
    ours, host = Spike(kind, 2.0), theirs(2.0)
    for spike in (ours, host):
        spike.set_spiking_mode(False)
    x = torch.linspace(-3, 3, 61, dtype=torch.float64)
    torch.testing.assert_close(ours(x), host(x), rtol=1e-8, atol=1e-8)
