"""What no integers follow is refused; what they can follow is exact, however it is called."""

import pytest
import snntorch as snn
import torch
from snntorch import utils
from spikingjelly.activation_based import functional
from torch import nn

from qsnn_plugins import export
from qsnn_plugins.cost.neurons import reset_states
from qsnn_plugins.errors import ExportError, QSNNError
from tests.export import called_networks as nets
from tests.export.networks import counts

FLAT, IMAGE = (12,), (1, 6, 6)


def flat(steps=4, samples=3, seed=1):
    return counts(steps, samples, FLAT, seed=seed)


INPUT = "All steps must be computed in the same way|feedback"
STATE = "Only the neuron itself may change its membrane"
ANSWER = "sum or mean over all steps"


@pytest.mark.parametrize(
    ("steps", "samples"),
    [(2, 2), *(pytest.param(*size, marks=pytest.mark.slow) for size in ((1, 1), (5, 1)))],
)
@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: nets.Changed(lambda t, a, b: (a * 0.5, b)), STATE),
        (lambda: nets.Changed(lambda t, a, b: (a, b * (0.99 if t else 1))), STATE),
        (lambda: nets.Changed(lambda t, a, b: (a.clamp(min=0), b)), STATE),
        (lambda: nets.Changed(lambda t, a, b: (b.repeat(1, 2)[:, :9], b)), STATE),
        (lambda: nets.Changed(lambda t, a, b: (torch.zeros_like(a) if t == 1 else a, b)), STATE),
        (nets.MadeAnew, STATE),
        (nets.ResetInside, STATE),
        (nets.BeginsElsewhere, "begins with another membrane"),
        (nets.OtherThresholds, "thresholds that change"),
        (nets.OtherLayers, INPUT),
        (nets.FedBack, INPUT),
        (nets.Twice, "two places|2 steps"),
        (lambda: nets.Shown(lambda x: x * torch.arange(1, len(x) + 1).reshape(-1, 1, 1)), INPUT),
        (lambda: nets.Shown(lambda x: x / len(x)), INPUT),
        (lambda: nets.Shown(lambda x: x.cumsum(0)), "cumsum"),
        (lambda: nets.Shown(lambda x: x - x.mean(0)), INPUT + "|depend"),
        (lambda: nets.Shown(lambda x: x.flip(0)), INPUT),
        (lambda: nets.Shown(lambda x: x.roll(1, 0)), "roll|" + INPUT),
        (lambda: nets.Shown(lambda x: torch.cat([x[:1], x[:-1]])), INPUT),
        (lambda: nets.Shown(lambda x: (x > torch.rand_like(x)).float()), "is random"),
        (lambda: nets.Shown(lambda x: x * torch.rand(1)), INPUT),
        (lambda: nets.Answers(lambda y: y[-1]), ANSWER),
        (lambda: nets.Answers(lambda y: y[0]), ANSWER),
        (lambda: nets.Answers(lambda y: y[1:]), ANSWER + "|depend"),
        (lambda: nets.Answers(lambda y: y[1:].sum(0)), ANSWER + "|depend|not made of"),
        (lambda: nets.Answers(lambda y: y * torch.arange(1, len(y) + 1).reshape(-1, 1, 1)), ANSWER),
        (lambda: nets.Answers(lambda y: y - y.mean(0)), ANSWER + "|depend"),
        (lambda: nets.Answers(lambda y: y - 0.1 * y.mean(1, True)), ANSWER),
        (lambda: nets.Answers(lambda y: y.max(0).values), "max|" + ANSWER),
        (lambda: nets.Answers(lambda y: y.sum(0) ** 2), "pow"),
        (lambda: nets.Answers(lambda y: y.sum(0) / len(y) ** 2), ANSWER),
        (lambda: nets.Answers(lambda y: y.transpose(0, 1)), ANSWER),
        (lambda: nets.Answers(lambda y: y.sum(0) + 1), ANSWER),
    ],
    ids=range(33),
)
def test_loops_that_change_from_step_to_step(build, words, steps, samples):
    network = nets.quantized(build())
    with pytest.raises(ExportError, match=words):
        export.to_integer(network, flat(steps, samples))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: nets.OneStep(nets.filtered), ANSWER),
        (lambda: nets.OneStep(nets.alternating), ANSWER),
        (lambda: nets.OneStep(lambda self, y: y + self.lif1.mem.mean()), "with a membrane"),
        (lambda: nets.OneStep(lambda self, y: y * (self.lif1.mem.mean() < 0)), "with a membrane"),
        (
            lambda: nets.OneStep(lambda self, y: y if self.lif1.mem.any() else -y),
            "depends on a membrane",
        ),
        (lambda: nets.OneStep(lambda self, y: (y, utils.reset(self))[0]), STATE),
    ],
    ids=range(6),
)
@pytest.mark.parametrize("shape", [(1, 12), (2, 12), (5, 2, 12)])
def test_single_steps_with_states_of_their_own(build, words, shape):
    with pytest.raises(ExportError, match=words):
        export.to_integer(nets.quantized(build()), torch.ones(shape))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: nets.Still(lambda sent, m: sent[-1]), ANSWER),
        (lambda: nets.Still(lambda sent, m: sum(sent[1:])), ANSWER),
        (lambda: nets.Still(lambda sent, m: sent[0] * 4), ANSWER),
        (lambda: nets.Still(lambda sent, m: torch.stack(sent, 1)), ANSWER),
        (lambda: nets.Still(lambda sent, m: m[-1]), "membrane"),
        (lambda: nets.StillJelly(lambda y: y[-1]), ANSWER),
        (lambda: nets.StillJelly(lambda y: y.max(0).values), "max"),
        (lambda: nets.StillJelly(lambda y: (y * torch.arange(4).reshape(-1, 1, 1)).sum(0)), ANSWER),
        (lambda: nets.Rate(lambda net, t: functional.reset_net(net)), STATE),
        (lambda: nets.Rate(nets.leaking), STATE),
    ],
    ids=range(10),
)
@pytest.mark.parametrize("samples", [1, 2])
def test_still_images_whose_steps_differ(build, words, samples):
    with pytest.raises(ExportError, match=words):
        export.to_integer(nets.quantized(build()), counts(1, samples, IMAGE)[0])


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: nets.Jelly(lambda y, n: y[-1]), ANSWER),
        (lambda: nets.Jelly(lambda y, n: y[:2]), ANSWER),
        (lambda: nets.Jelly(lambda y, n: y + n[2].v.mean()), "with a membrane"),
        (lambda: nets.Jelly(lambda y, n: n[2].v.flatten(1)), "answers with a membrane"),
        (lambda: nets.Jelly(shown=lambda x: x.flip(0)), INPUT),
        (lambda: nets.Jelly(shown=lambda x: x / x.shape[0]), INPUT),
        (lambda: nets.Jelly(shown=lambda x: x[1:]), "T >= 1"),
        (lambda: nets.Jelly(shown=lambda x: x - 0.5 * x.mean(0, True)), INPUT),
    ],
    ids=range(8),
)
@pytest.mark.parametrize("steps", [1, 5])
def test_all_steps_at_once_that_differ(build, words, steps):
    with pytest.raises(QSNNError, match=words):
        export.to_integer(nets.quantized(build()), counts(steps, 2, IMAGE))


def run(network, calls, frames):
    """Run a network over frames [T, N, ...] as it is used."""
    reset_states(network)
    with torch.no_grad():
        if calls == "all steps":
            return network(frames)
        if calls == "one step":
            answers = [network(frame) for frame in frames]
            return torch.stack([a[0] if isinstance(a, tuple) else a for a in answers])
        return network(frames[0])


def sequential():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), snn.Leaky(0.8, init_hidden=True), nn.Flatten(), nn.Linear(64, 5),
        snn.Leaky(0.8, init_hidden=True, output=True),
    )  # fmt: skip


WORKING = [
    ("all steps", nets.Loop, FLAT),
    ("all steps", lambda: nets.Loop(reset_mechanism="zero", reset_delay=False), FLAT),
    ("all steps", lambda: nets.Answers(lambda y: y.sum(0)), FLAT),
    ("all steps", lambda: nets.Answers(lambda y: y.mean(0)), FLAT),
    ("all steps", lambda: nets.Answers(lambda y: y.mean(0) * 3 + 1), FLAT),
    ("all steps", lambda: nets.Answers(lambda y: (y, y.sum(0))), FLAT),
    ("all steps", lambda: nets.Shown(lambda x: x + torch.zeros_like(x)), FLAT),
    ("all steps", nets.KnownSteps, IMAGE),
    ("all steps", nets.Jelly, IMAGE),
    ("all steps", lambda: nets.Jelly(lambda y, n: y.mean(0)), IMAGE),
    ("one step", lambda: nets.OneStep(), FLAT),
    ("one step", sequential, IMAGE),
    ("one step", nets.convolutions, IMAGE),
    ("still", nets.Still, IMAGE),
    ("still", lambda: nets.Still(lambda sent, m: torch.stack(sent).mean(0)), IMAGE),
    ("still", lambda: nets.Still(lambda sent, m: sum(sent)), IMAGE),
    ("still", lambda: nets.StillJelly(), IMAGE),
    ("still", lambda: nets.StillJelly(lambda y: y.sum(0)), IMAGE),
    ("still", lambda: nets.StillJelly(lambda y: y), IMAGE),
    ("still", lambda: nets.StillJelly(encodes=True), IMAGE),
    ("still", nets.Rate, IMAGE),
]


@pytest.mark.parametrize(
    ("as_data", "samples"),
    [(True, 2), *(pytest.param(as_data, 1, marks=pytest.mark.slow) for as_data in (True, False))],
)
@pytest.mark.parametrize(("calls", "build", "shape"), WORKING, ids=range(len(WORKING)))
def test_networks_as_tutorials_write_them(calls, build, shape, as_data, samples):
    network = nets.quantized(build())
    frames = counts(nets.STEPS, samples, shape)
    if calls == "still":
        frames = frames[:1].expand_as(frames)
    example = frames
    if calls == "still" or (calls == "one step" and not as_data):
        example = frames[0]
    elif isinstance(network, nets.KnownSteps) or as_data:
        example = frames
    else:
        example = frames[:1, :1]
    integer = export.to_integer(network, example)
    assert integer.input.shape == shape
    answers, spikes = integer(frames)
    assert any(sent.any() for sent in spikes.values())
    found = answers.double() * integer.output.unit
    wanted = run(network, calls, frames)
    wanted = wanted[0] if isinstance(wanted, tuple) else wanted
    if wanted.shape != found.shape:
        found = found.mean(0) if integer.output.is_mean else found.sum(0)
    assert torch.allclose(found, wanted.double(), atol=1e-5)
    verified = export.verify(network, integer, [frames])
    assert verified.exact
    assert verified.largest_difference < 1e-5
    assert verified.spikes == sum(sent.numel() for sent in spikes.values())
