"""Parts that a user replaces or overrides are called, whatever the spec and in every mode."""

import pytest
import torch
from torch import nn

from qsnn_plugins.snntorch import MultiStep, QuantLeaky
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spikingjelly import QuantLIFNode

SPECS = [QuantSpec(), QuantSpec.full_precision()]


class Halved(nn.Module):
    """Membrane quantizer that nothing here knows."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, u):
        self.calls += 1
        return u / 2


class OwnJelly(QuantLIFNode):
    """Charges otherwise than its class."""

    def charge(self, x, v):
        return 3 * x


class OwnTorch(QuantLeaky):
    """Charges otherwise than its class."""

    def charge(self, x, m):
        return 3 * x


@pytest.mark.parametrize("spec", SPECS, ids=["quantized", "plain"])
def test_a_replaced_membrane_is_called_at_every_step(spec):
    jelly = QuantLIFNode(step_mode="m", spec=spec)
    ours = QuantLeaky(0.5, init_hidden=True, spec=spec)
    for node, run in ((jelly, jelly), (ours, MultiStep(ours))):
        node.membrane = Halved()
        run(torch.rand(4, 2, 3))
        assert node.membrane.calls == 4


@pytest.mark.parametrize("spec", SPECS, ids=["quantized", "plain"])
def test_a_subclass_s_charge_is_called(spec):
    x = torch.full((4, 1, 2), 0.4)  # alone it never fires, three times it does
    own = OwnTorch(0.5, init_hidden=True, reset_mechanism="none", spec=spec)
    assert OwnJelly(step_mode="m", spec=spec)(x).all()
    assert OwnJelly(spec=spec)(x[0]).all()
    assert MultiStep(own)(x).all()
