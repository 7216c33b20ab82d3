import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import uniform_membrane
from qsnn_plugins.nn import Mint, UniformMembrane
from qsnn_plugins.spec import MembraneSpec


def build(scale, bits=4, kind="uniform", **values):
    if kind == "uniform":
        values = {"gradient": "clipped_straight_through", **values}
    values["scale"] = scale
    return UniformMembrane(MembraneSpec(kind=kind, bits=bits, **values))


@pytest.mark.parametrize("kind", ["uniform", "tanh"])
def test_running_average_against_numpy(kind):
    """The first maximum is taken as it is; silent steps do not count."""
    rng = np.random.default_rng(0)
    steps = [rng.normal(size=20) * size for size in (0.0, 2.0, 0.5, 0.0, 3.0)]
    quantizer = build("running", kind=kind, momentum=0.25).double()
    assert quantizer.scale == 1.0
    average = None
    for u in steps:
        quantizer(torch.tensor(u))
        greatest = np.abs(np.tanh(u) if kind == "tanh" else u).max()
        if greatest > 0:
            average = greatest if average is None else 0.75 * average + 0.25 * greatest
    assert quantizer.scale.item() == pytest.approx(average, rel=1e-12)
    quantizer.eval()
    quantizer(torch.full((3,), 100.0, dtype=torch.float64))
    assert quantizer.scale.item() == pytest.approx(average, rel=1e-12)


def test_running_quantizes_alike_in_training_and_at_evaluation():
    quantizer = build("running", momentum=0.5)
    for _ in range(60):
        q = quantizer(torch.tensor([-2.0, 0.3, 1.1]))
    assert torch.equal(quantizer.eval()(torch.tensor([-2.0, 0.3, 1.1])), q)


def test_step_max_scales_by_the_step_in_training_and_warns_at_evaluation():
    quantizer = build("step_max")
    u = torch.tensor([-2.0, 0.3, 1.1])
    assert torch.equal(quantizer(u), uniform_membrane(u, 2.0, 4))
    with pytest.warns(UserWarning, match="makes a sample depend on its batch"):
        quantizer.eval()
    assert torch.equal(quantizer(u / 2), uniform_membrane(u / 2, 2.0, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        published = build("step_max", evaluation="published").eval()
        for scale in ("running", "learned", "fixed"):
            build(scale).eval()
    assert torch.equal(published(u / 2), uniform_membrane(u / 2, 1.0, 4))


@pytest.mark.parametrize("scale", ["running", "step_max", "learned", "fixed"])
@pytest.mark.parametrize("bits", [1, 2, 8])
def test_a_silent_layer_stores_zeros_without_nan(scale, bits):
    quantizer = build(scale, bits)
    u = torch.zeros(4, 3, requires_grad=True)
    for _ in range(3):
        q = quantizer(u)
        assert torch.equal(q, torch.zeros(4, 3))
        q.sum().backward()
        assert u.grad.isfinite().all()
    quantizer.requires_grad_(False).train(False)
    assert quantizer(torch.ones(2)).isfinite().all()


def test_a_learned_scale_learns_and_stays_positive():
    quantizer = build("learned", bits=3, scale_value=3.0)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.05)
    u = torch.randn(500, generator=torch.Generator().manual_seed(0)) * 0.5

    def error():
        return ((quantizer(u) - u) ** 2).mean()

    first = error().item()
    for _ in range(100):
        optimizer.zero_grad()
        error().backward()
        optimizer.step()
    assert error().item() < first / 3
    assert 0.8 < quantizer.scale.item() < 2.0
    with torch.no_grad():
        quantizer.scale.fill_(-1.0)
    assert quantizer(u).isfinite().all()


def test_a_shared_scale_is_one_parameter():
    """MINT: one scale for a layer's weights and its membrane."""
    weight = build("learned", kind="tanh")
    membrane = build("learned", kind="tanh")
    membrane.share_scale(weight.scale)
    (weight(torch.randn(5)) + membrane(torch.randn(5))).sum().backward()
    assert membrane.scale is weight.scale
    assert len(list(nn.ModuleList([weight, membrane]).parameters())) == 1
    with pytest.raises(ArgumentError, match=r"membrane\.scale='fixed' is not allowed"):
        build("fixed").share_scale(weight.scale)
    with pytest.raises(ArgumentError, match=r"scale\.shape=\(2,\)"):
        membrane.share_scale(nn.Parameter(torch.ones(2)))


@pytest.mark.parametrize("scale", ["running", "step_max"])
def test_the_average_is_saved_and_several_steps_have_a_backward(scale):
    quantizer = build(scale)
    u = torch.randn(4, 6, requires_grad=True)
    q = u
    for _ in range(4):  # the buffer changes between the forwards and their backward
        q = quantizer(0.9 * q + u)
    q.sum().backward()
    assert u.grad.abs().sum() > 0
    other = build(scale)
    other.load_state_dict(quantizer.state_dict())
    assert torch.equal(other.scale, quantizer.scale)


def test_other_kinds_are_refused():
    with pytest.raises(ArgumentError, match=r"spec\.kind='levels' is not allowed"):
        UniformMembrane(MembraneSpec())


@pytest.mark.parametrize("average", [None, get_ema_multi_avg_fn(0.5)], ids=["mean", "EMA"])
@pytest.mark.parametrize("scale", ["running", "step_max"])
def test_its_buffers_can_be_averaged(scale, average):
    quantizer = build(scale, momentum=1.0)
    averaged = AveragedModel(quantizer, multi_avg_fn=average, use_buffers=True)
    for size in (2.0, 4.0):
        quantizer(torch.full((3,), size))
        averaged.update_parameters(quantizer)
    assert averaged.module.scale.item() == 3.0
    assert averaged.module.initialized.item() == 1


def test_a_state_of_booleans_is_loaded():
    quantizer = build("running")
    quantizer.load_state_dict({"scale": torch.tensor(2.0), "initialized": torch.tensor(True)})
    assert quantizer.start(torch.ones(2)) == (2.0, True)


def test_a_shared_scale_has_the_floor_of_the_weights():
    mint, membrane = Mint(torch.ones(2, 2)), build("learned", kind="tanh")
    membrane.share_scale(mint.beta)
    mint.beta.data.fill_(-1.0)
    assert torch.equal(membrane.scale_in_use((1, 4)), mint.beta_in_use(torch.ones(2, 2)))
