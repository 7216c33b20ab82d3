import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import rate_mse_loss, tet_loss, wsdr_loss
from qsnn_plugins.nn import RateMSELoss, TETLoss, WSDRLoss


def test_modules_call_their_functions_with_their_arguments():
    outputs, labels = torch.randn(3, 4, 5), torch.tensor([0, 4, 2, 1])
    rates = [torch.tensor(v) for v in (0.1, 0.2, 0.9, 0.4)]
    assert TETLoss(0.7, 0.5)(outputs, labels) == tet_loss(outputs, labels, 0.7, 0.5)
    ours = WSDRLoss(0.3, "sum")(outputs, labels, rates)
    assert ours == wsdr_loss(outputs, labels, rates, 0.3, "sum")
    assert ours != wsdr_loss(outputs, labels, rates, 0.3, "mean")
    assert RateMSELoss()(outputs, labels) == rate_mse_loss(outputs, labels)


@pytest.mark.parametrize(
    "build", [lambda: TETLoss(-0.1), lambda: WSDRLoss(-1.0), lambda: WSDRLoss(reduction="max")]
)
def test_bad_arguments_raise_at_construction(build):
    with pytest.raises(ArgumentError):
        build()
