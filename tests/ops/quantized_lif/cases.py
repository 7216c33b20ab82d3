"""Neurons and inputs on which the kernel and its reference are compared."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from qsnn_plugins.functional import RELEASED_LEVELS, average_scale
from qsnn_plugins.nn import Spike, membrane_quantizer
from qsnn_plugins.ops.quantized_lif import Parameters, neuron, quantized_lif
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec, SpikeSpec, ThresholdSpec

TYPES = (torch.float32, torch.float16, torch.bfloat16)
LEARNED = ThresholdSpec(gradient="ordinary")
SEPARATE = ThresholdSpec(gradient="separate")

MEMBRANES = [
    MembraneSpec(kind="float"),
    MembraneSpec(kind="clip", lower=-0.5, upper=0.75),
    MembraneSpec(kind="pruned"),
    MembraneSpec(kind="pruned", levels=RELEASED_LEVELS, surrogate="arctan"),
    MembraneSpec(kind="threshold_centred", bits=4),
    MembraneSpec(smoothness=3.5),
    MembraneSpec(smoothness=60.0),
    MembraneSpec(gradient="straight_through"),
    MembraneSpec(gradient="clipped_straight_through"),
    MembraneSpec(levels=(-1.0, 1.0)),
    MembraneSpec(levels=(-2.0, 0.0, 1.0)),
    MembraneSpec(levels=(-2.0, -0.5, 0.5, 2.0)),
    MembraneSpec(levels=(-2.0, -0.5, 0.0, 2.0)),
    MembraneSpec(levels=(0.0, 0.5, 1.0)),
    MembraneSpec(levels=RELEASED_LEVELS),
    *(
        MembraneSpec(surrogate=kind, smoothness=2.5)
        for kind in ("triangle", "rectangle", "arctan", "piecewise_leaky_relu")
    ),
]
UNIFORM = [
    *(
        (MembraneSpec(kind="uniform", bits=bits, **gradient), scale)
        for bits, gradient, scale in [
            (1, {"gradient": "clipped_straight_through"}, "given"),
            (2, {"smoothness": 3.0}, "given"),
            (3, {"smoothness": 3.0}, "running"),
            (4, {"smoothness": 3.0}, "given"),
            (4, {"gradient": "clipped_straight_through"}, "given"),
            (4, {"gradient": "clipped_straight_through"}, "step_max"),
            (4, {"gradient": "straight_through"}, "running"),
            (8, {"gradient": "clipped_straight_through"}, "running"),
            (8, {"smoothness": 3.0}, "given"),
        ]
    ),
    (MembraneSpec(kind="uniform", bits=4, scale="learned", gradient="stacked"), "given"),
    (MembraneSpec(kind="uniform", bits=1, scale="learned"), "given"),
]
SPIKES = [
    SpikeSpec(surrogate=kind, sharpness=sharpness)
    for kind in ("triangle", "rectangle", "sigmoid", "arctan", "piecewise_leaky_relu")
    for sharpness in (1.0, 2.5)
]

CASES = [
    *(Parameters(membrane, threshold=LEARNED) for membrane in MEMBRANES),
    *(Parameters(spike=spike, threshold=LEARNED) for spike in SPIKES),
    *(
        Parameters(threshold=ThresholdSpec(gradient="separate", window=window))
        for window in ("triangle", "arctan")
    ),
    *(
        Parameters(
            threshold=threshold,
            tau=tau,
            decay_input=decay_input,
            v_reset=v_reset,
            detach_reset=detach_reset,
            fires_at_threshold=not detach_reset,
        )
        for (tau, decay_input), v_reset, detach_reset, threshold in itertools.product(
            [(2.0, False), (4.0, True), (None, False)],
            [0.0, None, -0.25],
            [False, True],
            [ThresholdSpec(), LEARNED, SEPARATE],
        )
    ),
]


CASES += [
    *(Parameters(membrane, threshold=LEARNED, scale=scale) for membrane, scale in UNIFORM),
    Parameters(UNIFORM[2][0], threshold=SEPARATE, v_reset=None, scale="running"),
    *(
        Parameters(
            MembraneSpec(kind=kind),
            SpikeSpec(bits=bits, value=value),
            threshold,
            v_reset=v_reset,
            detach_reset=bits == 3,
            fires_at_threshold=bits != 4,
        )
        for kind, bits, value, threshold, v_reset in [
            ("float", 2, "count", LEARNED, 0.0),
            ("float", 2, "threshold", LEARNED, None),
            ("levels", 4, "threshold", SEPARATE, None),
            ("levels", 3, "count", LEARNED, -0.25),
            ("clip", 1, "threshold", LEARNED, 0.0),
            ("levels", 2, "threshold", ThresholdSpec(), 0.0),
        ]
    ),
    *(
        Parameters(
            membrane,
            spike,
            threshold,
            decays=True,
            v_reset=v_reset,
            resets=resets,
            reset_is_late=is_late,
            fires_at_threshold=False,
            scale="running" if membrane.kind == "uniform" else "given",
        )
        for membrane, spike, threshold in [
            (MembraneSpec(), SpikeSpec(), LEARNED),
            (MembraneSpec(kind="float"), SpikeSpec(), SEPARATE),
            (MembraneSpec(kind="uniform", bits=3), SpikeSpec(), LEARNED),
            (MembraneSpec(kind="float"), SpikeSpec(bits=2), LEARNED),
            (MembraneSpec(), SpikeSpec(bits=2), LEARNED),
        ]
        for v_reset, resets, is_late in [
            (None, True, True),
            (0.0, True, True),
            (0.0, False, True),
            (None, True, False),
            (0.0, True, False),
            (0.0, False, False),
        ]
        # a stored level does not tell how often to subtract
        if not (is_late and v_reset is None and spike.bits > 1 and membrane.kind != "float")
    ),
    Parameters(threshold=LEARNED, has_rate=True),
    Parameters(threshold=LEARNED, has_rate=True, decay_input=True, v_reset=-0.25),
]

NAMES = [f"{number}-{case.membrane.kind}-{case.threshold}" for number, case in enumerate(CASES)]


def covering(neurons):
    """Numbers of a few neurons that have each pair of a kernel's choices which occurs in all."""
    pairs = [set(itertools.combinations(neuron.variant().split(), 2)) for neuron in neurons]
    missing, chosen = set().union(*pairs), []
    while missing:
        best = max(range(len(neurons)), key=lambda number: len(pairs[number] & missing))
        chosen.append(best)
        missing -= pairs[best]
    return chosen


QUICK = covering(CASES)
# for `parametrize`: a neuron outside the covering set is left to the slow tests
NEURONS = [
    pytest.param(case, id=name, marks=() if number in QUICK else pytest.mark.slow)
    for number, (case, name) in enumerate(zip(CASES, NAMES, strict=True))
]


def inputs(shape, seed=0, dtype=torch.float32):
    """Currents and a first state, multiples of 1/16: ties with thresholds and midpoints occur."""
    generator = torch.Generator().manual_seed(seed)
    x_seq = (torch.randn(shape, generator=generator) * 20 + 6).round() / 16
    v = (torch.randn(shape[1:], generator=generator) * 12).round() / 16
    return x_seq.to(dtype), v.to(dtype)


def channels_last(x_seq):
    """The same values [..., C, H, W], channels side by side in memory."""
    return x_seq.movedim(-3, -1).contiguous().movedim(-1, -3)


def run(parameters, x_seq, v, threshold, backend, seed=1):
    """Spikes, last state, what was measured, and the gradients for random upstream gradients.

    Those are of x_seq, v and all that learns: the threshold, the scale.
    """
    generator = torch.Generator().manual_seed(seed)
    up_spikes = torch.randn(x_seq.shape, generator=generator).to(x_seq)
    up_last = torch.randn(x_seq.shape[1:], generator=generator).to(v)
    leaves = [x_seq.clone().requires_grad_(), v.clone().requires_grad_()]
    wide = torch.promote_types(x_seq.dtype, torch.float32)
    given = torch.as_tensor(threshold, dtype=wide, device=x_seq.device).clone()
    scale = torch.tensor(1.25, dtype=wide, device=x_seq.device)
    if parameters.threshold.learned:
        leaves.append(given.requires_grad_())
    if parameters.has_scale and parameters.membrane.scale == "learned":
        leaves.append(scale.requires_grad_())
    more = {"scale": scale, "initialized": True, "decay": 0.5}
    arguments = *leaves[:2], given, parameters
    spikes, last, measured = quantized_lif(*arguments, **more, backend=backend)
    gradients = torch.autograd.grad([spikes, last], leaves, [up_spikes, up_last])
    return spikes.detach(), last.detach(), measured, *gradients


class Computed(TorchDispatchMode):
    """Names of the operators that launch a kernel on a GPU: all that do more than allocate."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **kwargs or {})
        if not func.is_view and "empty" not in str(func):
            self.names.append(str(func))
        return result


def assert_one_output_may_be_used(used, neurons):
    """Compare the gradients of the loop and the C++ kernel where one output has none."""
    x_seq, v = inputs((4, neurons))
    grads = []
    for name in ("cpp", "reference"):
        leaf = x_seq.clone().requires_grad_()
        spikes, last, _ = quantized_lif(leaf, v, 1.0, Parameters(), backend=name)
        (spikes if used == "spikes" else last).square().sum().backward()
        grads.append(leaf.grad)
    assert grads[0].abs().max() > 0.1
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-5)


def assert_average(scale):
    """Train a membrane of 4 bits: its average is the loop's, and no step costs another operator."""
    spec = QuantSpec(MembraneSpec(kind="uniform", scale=scale))
    store, parameters = membrane_quantizer(spec.membrane), Parameters(spec.membrane, scale=scale)
    conventions = {"tau": 2.0, "decay_input": False, "v_reset": 0.0, "detach_reset": False}
    parts = spec, Spike.from_spec(spec.spike), store
    average, counts = (store.scale.clone(), store.initialized > 0), []
    for steps, neurons in ((2, 50), (9, 50), (2, 50), (3, 0)):
        x_seq, v = inputs((steps, neurons), seed=steps)
        given = x_seq, v, 1.0, parameters, *average
        for greatest in quantized_lif(*given, backend="reference")[2]:
            average = average_scale(*average, greatest, spec.membrane.momentum)
        with Computed() as computed:
            assert neuron.run(x_seq, v, 1.0, *parts, **conventions) is not None
        counts.append(len(computed.names))
        assert torch.equal(store.scale, average[0])
        assert store.initialized
    assert counts[0] == counts[1]
    store.training = False  # its warning is another test's
    neuron.run(*inputs((2, 50), seed=5), 1.0, *parts, **conventions)
    assert torch.equal(store.scale, average[0])


def masked(parameters, pruning):
    """The neuron with masks."""
    return replace(parameters, pruning=pruning)


LATE = {"decays": True, "reset_is_late": True, "fires_at_threshold": False}
PRUNINGS = {
    "accumulation": PruningSpec(0.35),
    "membrane": PruningSpec(0.35, masked="membrane"),
}
MASKED = {
    "ternary": Parameters(threshold=LEARNED),
    "separate": Parameters(threshold=SEPARATE, v_reset=None),
    "to another rest": Parameters(threshold=LEARNED, v_reset=-0.25, detach_reset=True),
    "input decays": Parameters(MembraneSpec(kind="float"), tau=4.0, decay_input=True),
    "4 bits, learned": Parameters(UNIFORM[7][0], threshold=LEARNED),
    "spikes of 2 bits": Parameters(
        MembraneSpec(kind="float"), SpikeSpec(bits=2, value="threshold"), LEARNED, v_reset=None
    ),
    "late, hard": Parameters(threshold=LEARNED, **LATE),
    "late, soft": Parameters(threshold=LEARNED, v_reset=None, **LATE),
    "late, float": Parameters(MembraneSpec(kind="float"), threshold=LEARNED, v_reset=None, **LATE),
    "late, 2 bits": Parameters(spike=SpikeSpec(bits=2), threshold=LEARNED, **LATE),
    "no reset": Parameters(threshold=LEARNED, resets=False, **LATE),
}


def sixteen_bits(threshold, seed=0):
    """A neuron of 16-bit spikes: x_seq and upstream, then spikes and grad_x by numpy in float64.

    All numbers are multiples of 1/32, so that float32 holds each exactly.
    """
    rng = np.random.default_rng(seed)
    x = np.round(rng.uniform(-0.2, 1.3, (3, 4, 50)) * 2**16 * threshold * 8) / 8
    x[:, :, :3] = np.array([-1.0, 2**16 - 1, 2**17]) * threshold
    upstream = np.round(rng.normal(size=x.shape) * 8) / 8
    spikes, q, inside = np.zeros_like(x), np.zeros(x.shape[1:]), np.zeros_like(x)
    for t, current in enumerate(x):
        h = 0.5 * q + current
        spikes[t] = np.clip(np.floor(h / threshold), 0, 2**16 - 1)
        inside[t] = (h >= 0) & (h < 2**16 * threshold)
        q = np.where(spikes[t] > 0, 0.0, h)
    grad, later = np.zeros_like(x), np.zeros(x.shape[1:])
    for t in reversed(range(len(x))):
        later = upstream[t] * inside[t] / threshold + (spikes[t] == 0) * 0.5 * later
        grad[t] = later
    parameters = Parameters(MembraneSpec(kind="float"), SpikeSpec(bits=16), detach_reset=True)
    return parameters, *(torch.tensor(a) for a in (x, upstream, spikes, grad))


def assert_sixteen_bits(backend, dtype):
    """Compare a backend with `sixteen_bits`."""
    for threshold in (1.0, 0.5):
        parameters, x, upstream, spikes, grad = sixteen_bits(threshold)
        leaf = x.to(dtype).requires_grad_()
        sent, _, _ = quantized_lif(leaf, 0.0, threshold, parameters, backend=backend)
        sent.backward(upstream.to(dtype))
        assert {0, 2**16 - 1} <= set(sent.flatten().tolist())
        assert len(sent.unique()) > 300
        assert torch.equal(sent.double(), spikes)
        assert torch.equal(leaf.grad.double(), grad)
