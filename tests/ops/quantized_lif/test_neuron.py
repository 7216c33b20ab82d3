"""Which neurons of a host the kernel runs, and that they compute what their own loop does."""

import logging
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from qsnn_plugins.errors import ArgumentError, BackendError
from qsnn_plugins.nn import MembranePruning, Spike, membrane_quantizer
from qsnn_plugins.nn.membrane import NearestLevel
from qsnn_plugins.ops.quantized_lif import backends
from qsnn_plugins.ops.quantized_lif.neuron import run
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec, SpikeSpec
from tests.ops.quantized_lif.cases import assert_average
from tests.toolchain import needs_compiler

pytestmark = needs_compiler


@pytest.fixture(autouse=True)
def _nothing_was_logged(monkeypatch):
    monkeypatch.delenv("QSNN_BACKEND", raising=False)
    backends._warn.cache_clear()


def neuron(spec=None, **changed):
    spec = spec or QuantSpec()
    parts = {
        "spec": spec,
        "threshold": 1.0,
        "surrogate_function": Spike.from_spec(spec.spike),
        "membrane": None if "membrane" in changed else membrane_quantizer(spec.membrane),
        "tau": 2.0,
        "decay_input": False,
        "v_reset": 0.0,
        "detach_reset": False,
    }
    return parts | changed


def pruned(pruning, membrane=None):
    spec = QuantSpec(membrane or MembraneSpec(), pruning=pruning)
    return neuron(spec, pruning=MembranePruning(pruning))


def hooked():
    spike = Spike()
    spike.register_forward_hook(lambda *_: None)
    return spike


def primitive():
    spike = Spike()
    spike.set_spiking_mode(False)
    return spike


class Halved(NearestLevel):
    """A quantizer of a user's own, which has the spec that the neuron has."""

    def forward(self, u):
        return super().forward(u / 2)


class Silent(Spike):
    """A spike of a user's own."""

    def forward(self, x, threshold=1.0):
        return torch.zeros_like(x)


def custom():
    """A membrane of a kind that no kernel knows, whose other options are not set."""
    spec = MembraneSpec()
    for name in spec.__dataclass_fields__:
        object.__setattr__(spec, name, "custom" if name == "kind" else None)
    return spec


REFUSED = {
    "the membrane is 'custom'": neuron(membrane=nn.Hardtanh(), spec=QuantSpec(custom())),
    "the membrane is 'tanh'": neuron(QuantSpec(MembraneSpec(kind="tanh"))),
    "the pruning is not the spec's": neuron(QuantSpec(pruning=PruningSpec(spatial_ratio=0.35))),
    "blocks of 2 x 2 share an importance": pruned(PruningSpec(0.35, block=2)),
    "the scale of masked membranes is measured": pruned(
        PruningSpec(0.35), MembraneSpec(kind="uniform", bits=4)
    ),
    "the surrogate function is Sigmoid": neuron(surrogate_function=nn.Sigmoid()),
    "the surrogate function returns its primitive": neuron(surrogate_function=primitive()),
    "quantizer is ClipMembrane, not": neuron(
        membrane=membrane_quantizer(MembraneSpec(kind="clip"))
    ),
    "quantizer is not the spec's": neuron(
        membrane=membrane_quantizer(MembraneSpec(levels=(-1.0, 1.0)))
    ),
    "quantizer is Tanh, not the spec's NearestLevel": neuron(membrane=nn.Tanh()),
    "quantizer is Hardtanh, not the spec's Identity": neuron(
        QuantSpec(MembraneSpec(kind="float")), membrane=nn.Hardtanh()
    ),
    "quantizer is Halved, not the spec's NearestLevel": neuron(membrane=Halved(MembraneSpec())),
    "surrogate function is Silent, not Spike": neuron(surrogate_function=Silent()),
    r"the threshold has the shape \(4,\)": neuron(threshold=torch.ones(4)),
}


@pytest.mark.parametrize(("reason", "parts"), REFUSED.items())
def test_what_no_kernel_covers_is_left_to_the_neuron(reason, parts, caplog, monkeypatch):
    x_seq = torch.zeros(4, 2, 3, 5)
    with caplog.at_level(logging.WARNING, "qsnn_plugins.ops"):
        assert run(x_seq, x_seq[0], **parts) is None
        assert run(x_seq, x_seq[0], **parts) is None
    assert len(caplog.records) == 1
    monkeypatch.setenv("QSNN_BACKEND", "cpp")
    with pytest.raises(BackendError, match=reason):
        run(x_seq, x_seq[0], **parts)
    monkeypatch.setenv("QSNN_BACKEND", "reference")
    assert run(x_seq, x_seq[0], **parts) is None


@pytest.mark.parametrize("named", ["", "cpp"])
def test_where_a_hook_looks_at_every_step_the_loop_runs_without_a_word(named, caplog, monkeypatch):
    monkeypatch.setenv("QSNN_BACKEND", named)
    x_seq = torch.zeros(4, 2, 3)
    assert run(x_seq, x_seq[0], **neuron(surrogate_function=hooked())) is None
    assert run(x_seq.to("meta"), x_seq[0].to("meta"), **neuron()) is None
    masked = pruned(PruningSpec(0.35))
    masked["pruning"].register_forward_hook(lambda *_: None)
    assert run(x_seq, x_seq[0], **masked) is None
    assert not caplog.records


def test_a_surrogate_that_a_schedule_sharpened_is_the_one_that_runs():
    x_seq = torch.rand(4, 50) * 2
    grads = []
    for sharpness in (1.0, 4.0):
        spike = Spike()
        spike.sharpness = sharpness
        leaf = x_seq.clone().requires_grad_()
        spikes, *_ = run(leaf, torch.zeros(50), **neuron(surrogate_function=spike))
        spikes.sum().backward()
        grads.append(leaf.grad)
    assert not torch.allclose(*grads)


def test_one_value_for_all_is_saved_as_one_value():
    x_seq, sizes = torch.randn(4, 8, 25, requires_grad=True) * 1.0, SimpleNamespace(saved=[])

    def keep(tensor):
        sizes.saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run(x_seq, torch.zeros(()).expand(8, 25), **neuron())
    assert max(sizes.saved) == 800
    assert sum(sizes.saved) < 810


@pytest.mark.parametrize("scale", ["running", "step_max"])
def test_the_average_of_the_maxima_is_the_kernel_s(scale):
    assert_average(scale)


def test_a_shared_scale_of_one_number_learns():
    parts = neuron(QuantSpec(MembraneSpec(kind="uniform", scale="learned")))
    parts["membrane"].share_scale(nn.Parameter(torch.ones(1)))
    _, last, _ = run(torch.randn(4, 8, 25), torch.zeros(8, 25), **parts)
    last.square().sum().backward()
    assert parts["membrane"].scale.grad.abs() > 0


def test_what_was_masked_is_accounted_for():
    parts = pruned(PruningSpec(0.5))
    x_seq = torch.randn(4, 2, 3, 20)
    spikes, last, states = run(x_seq, torch.zeros(()).expand(2, 3, 20), **parts)
    assert parts["pruning"].sparsity() == 0.5
    assert spikes.shape == x_seq.shape
    assert last.shape == (2, 3, 20)
    assert states is None


@pytest.mark.parametrize("spec", [QuantSpec(), QuantSpec(pruning=PruningSpec(0.5))], ids=str)
def test_the_stored_membranes_of_all_steps_are_returned_where_they_are_wanted(spec):
    pruning = MembranePruning(spec.pruning) if spec.pruning.prunes else None
    x_seq, v = torch.randn(4, 2, 3, 20), torch.zeros(2, 3, 20)
    parts = neuron(spec, pruning=pruning)
    _, last, states = run(x_seq, v, **parts, returns_states=True)
    one_by_one = [run(x_seq[: t + 1], v, **parts)[1] for t in range(4)]
    assert torch.equal(states, torch.stack(one_by_one))
    assert torch.equal(states[-1], last)
    assert not states.requires_grad


@pytest.mark.parametrize(("bits", "dtype"), [(12, torch.float16), (9, torch.bfloat16)])
def test_counts_that_a_dtype_does_not_hold_are_refused(bits, dtype):
    x = torch.ones(2, 1, 4, dtype=dtype)
    with pytest.raises(ArgumentError, match=f"hold all counts of spikes of {bits} bits"):
        run(x, x[0], **neuron(QuantSpec(spike=SpikeSpec(bits=bits))))
