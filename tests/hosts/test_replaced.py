"""Parts that a user replaces or overrides are called, whatever the spec and in every mode."""

import pytest
import torch
from torch import nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import Spike
from qsnn_plugins.snntorch import MultiStep, QuantLapicque, QuantLeaky
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


def replace_forward(node, calls):
    node.membrane.forward = lambda u: calls.append(u) or u


def put_an_identity(node, calls):
    class Watching(nn.Identity):
        def forward(self, u):
            calls.append(u)
            return u

    node.membrane = Watching()


@pytest.mark.parametrize(
    "watch",
    [
        replace_forward,
        put_an_identity,
        lambda node, calls: node.membrane.register_forward_hook(lambda *_: calls.append(0)),
    ],
    ids=["forward", "identity", "hook"],
)
@pytest.mark.parametrize("spec", SPECS, ids=["quantized", "plain"])
def test_who_watches_a_membrane_on_the_object_sees_every_step(spec, watch):
    jelly = QuantLIFNode(step_mode="m", spec=spec)
    ours = QuantLeaky(0.5, init_hidden=True, spec=spec)
    for node, run in ((jelly, jelly), (ours, MultiStep(ours))):
        calls = []
        watch(node, calls)
        run(torch.rand(4, 2, 3))
        assert len(calls) == 4


def test_a_neuron_s_forward_on_the_object_is_called_at_every_step():
    node, calls = QuantLeaky(0.5, init_hidden=True), []
    node.forward = lambda x: calls.append(x) or x
    MultiStep(node)(torch.rand(4, 2, 3))
    assert len(calls) == 4


def test_levels_are_those_of_the_spec_alone():
    """The kernels read them there: others would count in single steps only."""
    with pytest.raises(AttributeError):
        QuantLIFNode().membrane.levels = (-1.0, 0.5, 1.0)


@pytest.mark.parametrize("spec", SPECS, ids=["quantized", "plain"])
def test_a_subclass_s_charge_is_called(spec):
    x = torch.full((4, 1, 2), 0.4)  # alone it never fires, three times it does
    own = OwnTorch(0.5, init_hidden=True, reset_mechanism="none", spec=spec)
    assert OwnJelly(step_mode="m", spec=spec)(x).all()
    assert OwnJelly(spec=spec)(x[0]).all()
    assert MultiStep(own)(x).all()


@pytest.mark.parametrize("spec", SPECS, ids=["quantized", "plain"])
def test_a_charge_on_the_object_is_called_at_every_step(spec):
    jelly = QuantLIFNode(step_mode="m", spec=spec)
    ours = QuantLeaky(0.5, init_hidden=True, spec=spec)
    for node, run in ((jelly, jelly), (ours, MultiStep(ours))):
        calls = []
        node.charge = lambda x, v, calls=calls: calls.append(x) or 3 * x
        run(torch.rand(4, 2, 3))
        assert len(calls) == 4


class Counted(Spike):
    """Spike that counts its calls."""

    calls = 0

    def forward(self, x, threshold=1.0):
        self.calls += 1
        return super().forward(x, threshold)


class Kept(nn.Module):
    """Pruning that masks nothing, and counts its calls."""

    calls = 0

    def forward(self, h, rest):
        self.calls += 1
        return h

    def restart(self):
        pass


@pytest.mark.parametrize("spec", SPECS, ids=["quantized", "plain"])
def test_a_replaced_surrogate_and_pruning_are_called_at_every_step(spec):
    jelly, ours = (
        QuantLIFNode(step_mode="m", spec=spec),
        QuantLeaky(0.5, init_hidden=True, spec=spec),
    )
    for node, run, name in (
        (jelly, jelly, "surrogate_function"),
        (ours, MultiStep(ours), "spike_grad"),
    ):
        spike = Counted(fires_at_zero=node is jelly)
        if spec.is_plain:  # the host's own step calls it too, with the distance alone
            node.membrane = Halved()
        setattr(node, name, spike)
        node.pruning = Kept()
        run(torch.rand(4, 2, 3))
        assert spike.calls >= 4  # a late reset asks it of the step before too
        assert node.pruning.calls == 4


def test_a_replaced_threshold_is_the_one_that_fires():
    jelly, ours = QuantLIFNode(step_mode="m"), QuantLeaky(0.5, init_hidden=True)
    x = torch.full((1, 2, 3), 0.5)
    assert not jelly(x).any()
    assert not MultiStep(ours)(x).any()
    jelly.reset()
    ours.reset_mem()
    jelly.v_threshold = 0.25
    ours.threshold = torch.tensor(0.25)
    assert jelly(x).all()
    assert MultiStep(ours)(x).all()


@pytest.mark.parametrize(
    ("build", "words"),
    [
        *(
            (lambda name=name: QuantLIFNode(**{name: True}), f"{name}=True is not allowed")
            for name in ("tau", "v_threshold", "v_reset")
        ),
        *(
            (lambda name=name: QuantLeaky(**{"beta": 0.5, name: True}), f"{name}=True is not")
            for name in ("beta", "threshold", "graded_spikes_factor")
        ),
        (lambda: QuantLeaky(torch.tensor(True)), "beta=tensor.True. is not allowed"),
        (lambda: QuantLIFNode(v_reset=float("nan")), "v_reset=nan is not allowed: give a finite"),
        (lambda: QuantLIFNode(v_reset=float("inf")), "v_reset=inf"),
        *(
            (lambda name=name: QuantLeaky(0.5, **{name: "no"}), f"{name}='no' is not allowed")
            for name in (
                *("surrogate_disable", "init_hidden", "inhibition", "learn_beta"),
                *("learn_threshold", "output", "learn_graded_spikes_factor", "reset_delay"),
            )
        ),
        (lambda: QuantLeaky(0.5, graded_spikes_factor="a"), "graded_spikes_factor='a'"),
        (lambda: QuantLeaky(0.5, graded_spikes_factor=float("nan")), "graded_spikes_factor=nan"),
        (lambda: QuantLapicque(0.5, "a"), "gain='a'"),
    ],
)
def test_what_the_hosts_take_for_something_is_refused(build, words):
    with pytest.raises(ArgumentError, match=words):
        build()
