"""Which backend runs, and what is said when one is refused."""

import logging
import subprocess
import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad

from qsnn_plugins.debug import debugging
from qsnn_plugins.errors import ArgumentError, BackendError
from qsnn_plugins.ops.compiler import BuildError
from qsnn_plugins.ops.quantized_lif import Parameters, backends, choose, cpp, quantized_lif
from qsnn_plugins.spec import MembraneSpec, SpikeSpec, ThresholdSpec

X, V, ONE = torch.zeros(2, 3), torch.zeros(3), torch.tensor(1.0)
REFUSED = {
    "x_seq has the dtype torch.float64": {"x_seq": X.double()},
    "v has the dtype torch.float64": {"v": V.double()},
    "x_seq is on the device meta": {"x_seq": X.to("meta")},
    r"the threshold has the shape \(2,\)": {"threshold": torch.ones(2)},
    r"the threshold has the shape \(1, 3\)": {"threshold": torch.ones(1, 3)},
    "threshold is on the device meta": {"threshold": ONE.to("meta")},
    r"the leak has the shape \(3,\)": {"leak": torch.full((3,), 0.5)},
}


def arguments(**changed):
    return {"x_seq": X, "v": V, "threshold": ONE, **changed}


@pytest.fixture(autouse=True)
def _nothing_was_logged(monkeypatch):
    monkeypatch.delenv("QSNN_BACKEND", raising=False)
    backends._warn.cache_clear()


@pytest.mark.parametrize(("reason", "changed"), REFUSED.items())
def test_what_the_kernel_does_not_cover_goes_to_the_reference(reason, changed, caplog):
    with caplog.at_level(logging.WARNING, "qsnn_plugins.ops"):
        assert choose(**arguments(**changed)) == "reference"
        assert choose(**arguments(**changed)) == "reference"
    (record,) = caplog.records
    assert record.message.startswith("the neuron runs on the reference, not on the C++ kernel: ")
    with pytest.raises(BackendError, match=f"backend 'cpp' cannot run: {reason}"):
        choose(**arguments(**changed), backend="cpp")


@pytest.mark.parametrize("name", ["v", "threshold"])
def test_what_lies_on_another_gpu_is_refused_by_name(name):
    with FakeTensorMode():
        there, here = (
            {each: torch.empty(tensor.shape, device=gpu) for each, tensor in arguments().items()}
            for gpu in ("cuda:0", "cuda:1")
        )
        other = here | {name: there[name]}
        assert backends.refusal("cupy", **other) == f"{name} is on the device cuda:0"
        assert "device" not in (backends.refusal("cupy", **here) or "")


def test_debug_mode_is_refused():
    with debugging(), pytest.raises(ArgumentError, match="1 NaN among 3 values"):
        quantized_lif(torch.tensor([[0.0, float("nan"), 1.0]]), 0.0, 1.0, Parameters())


def test_derivatives_that_no_kernel_has_are_left_to_the_reference():
    def total(x):
        return quantized_lif(x, 0.0, 1.0, Parameters())[0].sum()

    x = torch.rand(3, 2)
    (grad,) = torch.autograd.grad(total(leaf := x.clone().requires_grad_()), leaf)
    assert torch.allclose(torch.func.grad(total)(x), grad)
    with pytest.raises(NotImplementedError, match="jvp"):  # tangents of 0, if a kernel ran
        torch.func.jvp(total, (x,), (x,))
    with forward_ad.dual_level(), pytest.raises(BackendError, match="forward-mode derivatives"):
        choose(**arguments(), backend="cpp")


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_backend_is_chosen_by_name(by, monkeypatch):
    def chosen(name):
        if by == "argument":
            return choose(**arguments(), backend=name)
        monkeypatch.setenv("QSNN_BACKEND", name)
        return choose(**arguments())

    assert chosen("reference") == "reference"
    monkeypatch.setattr(cpp, "missing", lambda: None)
    assert chosen("cpp") == "cpp"
    monkeypatch.setattr(cpp, "missing", lambda: "there is no compiler g++")
    with pytest.raises(BackendError, match="there is no compiler"):
        chosen("cpp")
    with pytest.raises(BackendError, match="x_seq is on the device cpu"):
        chosen("cupy")
    with pytest.raises(ArgumentError, match="'numba' is not allowed"):
        chosen("numba")


@pytest.mark.slow
def test_without_a_compiler_the_reference_runs_and_one_line_says_so(tmp_path):
    code = (
        "import os; os.environ['CXX'] = 'no-such-compiler'\n"
        "import torch; from qsnn_plugins.ops.quantized_lif import Parameters, quantized_lif\n"
        "for _ in range(3): print(quantized_lif(torch.ones(2, 1), 0.0, 1.0, Parameters())[0].sum())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "tensor(2.)\n" * 3
    assert result.stderr.count("there is no compiler no-such-compiler") == 1


@pytest.fixture
def only_the_commonest(monkeypatch):
    """A cache that has the commonest kernel, and cannot be written."""
    monkeypatch.setattr(cpp, "missing", lambda: None)
    tried = []

    def build(*_):
        tried.append(1)
        raise BuildError("the cache /cache cannot be written: No space left on device")

    monkeypatch.setattr(cpp, "build", build)
    for cached in (cpp.library, cpp.loaded, cpp.refused):
        cached.cache_clear()
    yield tried
    for cached in (cpp.library, cpp.loaded, cpp.refused):
        cached.cache_clear()


@pytest.mark.parametrize("compiled", [False, True])
def test_a_kernel_that_cannot_be_built_is_left_to_the_reference(
    only_the_commonest, caplog, compiled
):
    x_seq = torch.tensor([[0.5, 1.5], [0.75, 0.5]], requires_grad=True)
    parameters = Parameters()

    def run(x_seq):
        return quantized_lif(x_seq, 0.0, 1.0, parameters)

    run = torch.compile(run, backend="eager") if compiled else run
    with caplog.at_level(logging.WARNING, "qsnn_plugins.ops"):
        for _ in range(3):
            spikes, last, _ = run(x_seq)
    expected = quantized_lif(x_seq, 0.0, 1.0, Parameters(), backend="reference")
    assert torch.equal(spikes, expected[0])
    assert torch.equal(last, expected[1])
    spikes.sum().backward()
    assert x_seq.grad.abs().sum() > 0
    (record,) = caplog.records
    assert "not on the C++ kernel: the cache /cache cannot be written: No space" in record.message
    assert len(only_the_commonest) == 1
    with pytest.raises(BackendError, match="'cpp' cannot run: the cache /cache cannot"):
        quantized_lif(x_seq, 0.0, 1.0, Parameters(), backend="cpp")


def test_a_neuron_whose_kernel_cannot_be_built_runs_in_its_loop(only_the_commonest, caplog):
    pytest.importorskip("spikingjelly")
    from qsnn_plugins.spikingjelly import TernaryLIFNode

    node = TernaryLIFNode(step_mode="m")
    with caplog.at_level(logging.WARNING, "qsnn_plugins.ops"):
        assert node(torch.ones(3, 2)).tolist() == [[1.0, 1.0]] * 3
    (record,) = caplog.records
    assert "not on the C++ kernel: the cache /cache cannot be written: No space" in record.message


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x_seq": torch.zeros(2, 3, dtype=torch.int64)}, r"x_seq\.dtype"),
        ({"x_seq": torch.zeros(0, 3)}, r"x_seq\.shape=\(0, 3\)"),
        ({"x_seq": torch.tensor(1.0)}, r"x_seq\.shape=\(\)"),
        ({"v": torch.zeros(4)}, r"v\.shape=\(4,\) is not allowed: give \(3,\)"),
    ],
)
def test_bad_arguments_are_named(changed, message):
    with pytest.raises(ArgumentError, match=message):
        quantized_lif(**arguments(**changed), parameters=Parameters())


def test_a_membrane_that_no_kernel_stores_is_no_parameter():
    with pytest.raises(ArgumentError, match=r"membrane\.kind='tanh'"):
        Parameters(MembraneSpec(kind="tanh"))


def unset(spec, *names):
    """The spec, with None for these options."""
    for name in names:
        object.__setattr__(spec, name, None)
    return spec


def test_options_that_a_kind_does_not_read_may_be_none():
    scaled = "scale", "scale_value", "evaluation", "momentum"
    levels = unset(MembraneSpec(), "bits", *scaled, "lower", "upper")
    threshold = unset(ThresholdSpec(), "window", "per")
    assert Parameters(levels, threshold=threshold).variant() == Parameters().variant()
    kinds = {
        "float": (
            "levels",
            "gradient",
            "surrogate",
            "smoothness",
            "bits",
            *scaled,
            "lower",
            "upper",
        ),
        "clip": ("levels", "gradient", "surrogate", "smoothness", "bits", *scaled),
        "uniform": ("levels", "lower", "upper"),
    }
    for kind, options in kinds.items():
        spec = unset(MembraneSpec(kind=kind), *options)
        assert Parameters(spec).variant() == Parameters(MembraneSpec(kind=kind)).variant()
    counts = unset(SpikeSpec(bits=2), "surrogate", "sharpness")
    ours, theirs = (Parameters(levels, spike) for spike in (counts, SpikeSpec(bits=2)))
    assert ours.variant() == theirs.variant()
    x_seq = torch.tensor([[0.5, 1.5, 2.5]])
    spikes, *_ = quantized_lif(x_seq, 0.0, 1.0, ours, backend="cpp")
    assert spikes.tolist() == [[0.0, 1.0, 2.0]]
