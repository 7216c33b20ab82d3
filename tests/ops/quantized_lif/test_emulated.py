"""The GPU's kernel against its reference, on an emulated GPU."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from qsnn_plugins.functional import RELEASED_LEVELS
from qsnn_plugins.ops.quantized_lif import Parameters, cpp, cupy, operator, quantized_lif
from qsnn_plugins.ops.quantized_lif.schema import FOLDER, Inputs
from qsnn_plugins.spec import MembraneSpec, SpikeSpec, ThresholdSpec
from tests.ops.quantized_lif import emulation
from tests.ops.quantized_lif.cases import (
    CASES,
    LATE,
    LEARNED,
    NAMES,
    QUICK,
    SEPARATE,
    TYPES,
    UNIFORM,
    Computed,
    assert_average,
    assert_one_output_may_be_used,
    assert_sixteen_bits,
    inputs,
    run,
)
from tests.toolchain import COMPILER, needs_compiler

pytestmark = needs_compiler

LONG = {
    "ternary": Parameters(threshold=LEARNED),
    "ternary, soft reset": Parameters(threshold=SEPARATE, v_reset=None, tau=None),
    "two levels": Parameters(MembraneSpec(levels=(-1.0, 1.0)), threshold=LEARNED),
    "pruned": Parameters(MembraneSpec(kind="pruned"), threshold=LEARNED),
    "five levels": Parameters(MembraneSpec(levels=RELEASED_LEVELS), threshold=LEARNED),
    "float": Parameters(MembraneSpec(kind="float"), threshold=LEARNED, v_reset=-0.25),
    "3 bits, running": Parameters(UNIFORM[2][0], threshold=LEARNED, scale="running"),
    "4 bits, learned": Parameters(UNIFORM[7][0], threshold=LEARNED),
    "ternary, late reset": Parameters(threshold=LEARNED, v_reset=None, **LATE),
    "float, late reset": Parameters(MembraneSpec(kind="float"), threshold=LEARNED, **LATE),
}
SAVED_IN_2_BITS = ("ternary", "ternary, soft reset", "two levels", "pruned")


@pytest.fixture(autouse=True)
def launches(monkeypatch):
    """Let the CPU's operators run the GPU's code, and list its launches; fresh memory is NaN."""
    names = []

    def emulated(name, flags, blocks, shared, calls, device):
        names.extend([name] * len(calls))
        emulation.launch(name, flags, blocks, shared, calls, device)

    monkeypatch.setattr(cupy, "launch", emulated)
    monkeypatch.setattr(cpp, "forward", cupy.forward)
    monkeypatch.setattr(cpp, "backward", cupy.backward)
    monkeypatch.setattr(operator, "variant_of", variant_of)
    torch.use_deterministic_algorithms(True)
    yield names
    torch.use_deterministic_algorithms(False)


def variant_of(parameters, inputs):
    """Return the kernel's name as on a GPU, where a backward may come."""
    learns = inputs.scale is not None and inputs.scale.requires_grad
    return parameters.variant(scale_learns=learns, packs=cupy.packs(inputs.x_seq, parameters))


def given(x_seq, v):
    """Tensors of a neuron that is called by its operator."""
    return Inputs(x_seq, v, *(torch.tensor(value) for value in (0.75, 1.25, True, 0.5)))


def assert_equal(parameters, x_seq, v, threshold, tolerance=1e-5, total=1e-5):
    """Compare the GPU's code with the reference, and return what it gave."""
    ours, theirs = (run(parameters, x_seq, v, threshold, name) for name in ("cpp", "reference"))
    for mine, other in zip(ours[:3], theirs[:3], strict=True):
        assert torch.equal(mine, other)
    for mine, other in zip(ours[3:5], theirs[3:5], strict=True):
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance)
    for mine, other in zip(ours[5:], theirs[5:], strict=True):
        torch.testing.assert_close(mine, other, rtol=total, atol=10 * total)
    return ours


@pytest.mark.slow
def test_sixteen_bits_of_a_spike_are_exact():
    assert_sixteen_bits("cpp", torch.float32)


# each is built for itself: the covering set, of which a few are quick, or all if that is asked for
@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param(
            CASES[number], id=NAMES[number], marks=() if number in QUICK[:4] else pytest.mark.slow
        )
        for number in (range(len(CASES)) if os.environ.get("QSNN_EVERY_VARIANT") else QUICK)
    ],
)
def test_equals_the_reference(parameters, launches):
    for shape, kind in [((5, 3, 7, 12), "vector"), ((5, 3, 7, 11), "scalar")]:
        launches.clear()
        x_seq, v = inputs(shape)
        if parameters.decay_input:
            x_seq *= 2
        spikes, *_, grad_x, grad_v = assert_equal(parameters, x_seq, v, 0.75)[:5]
        assert 0.1 < (spikes > 0).float().mean() < 0.7
        assert grad_x.abs().max() > 0.01
        assert grad_v.abs().max() > 0.01
        forwards = 6 * [f"qsnn_forward_{kind}"] if parameters.measures else [f"qsnn_forward_{kind}"]
        assert launches == [*forwards, f"qsnn_backward_{kind}"]


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize(
    ("dtype", "steps"), [*zip(3 * TYPES, (16, 8, 8, 17, 9, 16, 50, 33, 50), strict=True)]
)
def test_any_number_of_steps(name, dtype, steps):
    x_seq, v = inputs((steps, 2, 92), dtype=dtype)
    parameters = LONG[name]
    assert_equal(parameters, x_seq, v, 0.75, max(1e-5, torch.finfo(dtype).eps), 1e-5 * steps)
    arguments = given(x_seq, v)
    variant, numbers = variant_of(parameters, arguments), parameters.numbers()
    packed = operator.forward(*arguments, variant, numbers)[4]
    is_long = steps > (16 if dtype == torch.float32 else 8)
    words = [-(-steps // 16), 2, 92] if is_long and name in SAVED_IN_2_BITS else [0]
    assert list(packed.shape) == words
    assert operator.forward(*arguments, parameters.variant(), numbers)[4].numel() == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (2,), (3, 5, 0), (7, 4099), (3, 8196), (33, 3)])
@pytest.mark.parametrize("kind", ["levels", "float", "uniform"])
def test_any_shape(shape, kind):
    membrane = MembraneSpec(kind=kind)
    parameters = Parameters(membrane, threshold=LEARNED, tau=3.0, decay_input=True)
    generator = torch.Generator().manual_seed(5)
    x_seq = torch.randn(shape, generator=generator) * 4
    v = torch.randn(shape[1:], generator=generator)
    assert_equal(parameters, x_seq, v, 0.9, total=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["step_max", "running"])
@pytest.mark.parametrize("neurons", [0, 5, 1027, 4100])
def test_the_maximum_of_a_step_is_over_all_neurons(scale, neurons):
    x_seq, v = inputs((4, neurons))
    assert_equal(Parameters(UNIFORM[2][0], scale=scale), x_seq, v, 0.75)


@pytest.mark.parametrize("scale", ["running", "step_max"])
def test_the_average_of_the_maxima_is_the_kernel_s(scale):
    assert_average(scale)


def test_a_block_leaves_its_maximum_at_once(monkeypatch):
    monkeypatch.setattr(emulation, "atomics", atomics := [])
    neuron = Parameters(UNIFORM[2][0], scale="step_max")
    operator.forward(*given(*inputs((3, 1100))), neuron.variant(), neuron.numbers())
    assert atomics == [3, 3, 3, 0], "3 blocks in each of 3 steps; the last launch stores"


@pytest.mark.slow
@pytest.mark.parametrize("learning", ["fixed", "ordinary", "separate"])
@pytest.mark.parametrize("shape", [(4, 2, 3, 5, 7), (3, 5, 3), (2, 1, 3, 1, 412), (20, 2, 3, 2)])
def test_each_channel_may_have_its_threshold(learning, shape):
    parameters = Parameters(threshold=ThresholdSpec(gradient=learning), v_reset=None)
    thresholds = torch.tensor([0.5, 1.0, 1.25]).reshape(3, *(1,) * (len(shape) - 3))
    ours = assert_equal(parameters, *inputs(shape), thresholds)
    if learning != "fixed":
        assert ours[5].unique().numel() == 3


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TYPES[1:])
@pytest.mark.parametrize("sends", ["count", "threshold"])
def test_16_bit_input_is_computed_in_float32(dtype, sends):
    parameters = Parameters(spike=SpikeSpec(value=sends), threshold=LEARNED)
    for neurons in (211, 216):
        x_seq, v = inputs((6, 5, neurons), dtype=dtype)
        ours = assert_equal(parameters, x_seq, v, 0.8, torch.finfo(dtype).eps, 1e-3)
        assert {part.dtype for part in (*ours[:2], *ours[3:5])} == {dtype}
        assert ours[5].dtype == torch.float32


def test_memory_that_is_not_aligned_or_not_in_rows(launches):
    x_seq, v = inputs((4, 6, 5, 8))
    parameters = Parameters(threshold=LEARNED)
    straight = run(parameters, x_seq, v, 1.0, "cpp")
    backwards = x_seq.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    unaligned = torch.empty(x_seq.numel() + 1)[1:].view(x_seq.shape).copy_(x_seq)
    for other, kind in ((backwards, "vector"), (unaligned, "scalar")):
        launches.clear()
        inputs_ = Inputs(other, v, torch.tensor(1.0))
        result = operator.forward(*inputs_, parameters.variant(), parameters.numbers())
        assert launches == [f"qsnn_forward_{kind}"]
        assert torch.equal(result[0], straight[0])
        assert torch.equal(result[1], straight[1])


def test_a_vector_that_is_not_aligned_is_seen(monkeypatch):
    """The check can fail: a GPU would stop at what the launcher keeps from happening."""
    x_seq, v = inputs((4, 64))
    unaligned = emulation.unaligned(x_seq)

    def vector(name, *arguments):
        emulation.launch(name.replace("scalar", "vector"), *arguments)

    monkeypatch.setattr(cupy, "launch", vector)
    arguments = Parameters().variant(), Parameters().numbers()
    with pytest.raises(RuntimeError, match="accesses are not aligned"):
        operator.forward(*given(unaligned, v), *arguments)


def test_a_backward_of_what_does_not_learn_launches_one_kernel(launches):
    x_seq, v = inputs((4, 60))
    for learning, most in ((ThresholdSpec(), 0), (LEARNED, 2)):
        parameters = Parameters(threshold=learning)
        kernel = parameters.variant(), tuple(parameters.numbers())
        arguments = given(x_seq, v)
        saved = cupy.forward(arguments, *kernel)[3:6]
        launches.clear()
        with Computed() as computed:
            cupy.backward(x_seq, v, *saved, arguments, *kernel)
        assert launches == ["qsnn_backward_vector"]
        assert len(computed.names) == most, computed.names


@pytest.mark.parametrize("name", ["ternary", "float", "3 bits, running"])
def test_the_order_of_threads_does_not_change_a_bit(name, monkeypatch):
    x_seq, v = inputs((20, 3, 1404))
    results = []
    for backwards in (False, True):
        monkeypatch.setattr(emulation, "backwards", backwards)
        results.append(run(LONG[name], x_seq, v, 0.75, "cpp"))
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


@pytest.mark.parametrize("steps", [3, 20])
def test_nan_stays_where_it_is(steps):
    x_seq, _ = inputs((steps, 40))
    x_seq[1, 7] = float("nan")
    results = []
    for name in ("cpp", "reference"):
        leaf = x_seq.clone().requires_grad_()
        spikes, last, _ = quantized_lif(leaf, 0.0, 1.0, Parameters(), backend=name)
        assert last.isnan().nonzero().flatten().tolist() == [7]
        spikes.square().sum().backward()
        results.append(leaf.grad)
    assert results[0][:, [*range(7), *range(8, 40)]].isfinite().all()
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("kind", ["float", "uniform"])
def test_below_the_least_normal_number_all_is_0(kind):
    """CuPy has kernels built so, whatever it is asked for; nothing else differs."""
    x_seq, v = inputs((1, 64))
    x_seq[0, ::3], v[::3] = 1e-39, 0
    parameters = Parameters(MembraneSpec(kind=kind), tau=None, threshold=LEARNED)
    ours, theirs = (run(parameters, x_seq, v, 0.75, name) for name in ("cpp", "reference"))
    assert not ours[1][::3].any()
    assert theirs[1][::3].any() == (kind == "float")
    theirs[1][::3] = 0
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("used", ["spikes", "last"])
def test_one_output_alone_may_be_used(used):
    assert_one_output_may_be_used(used, 36)


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("steps", [5, 40])
def test_shapes_are_known_without_a_gpu(name, steps):
    x_seq, v = inputs((steps, 3, 4))
    arguments = given(x_seq, v)
    kernel = variant_of(LONG[name], arguments), LONG[name].numbers()
    forward = operator.forward(*arguments, *kernel)
    backward = operator.backward(x_seq, v, *forward[3:6], *arguments, *kernel)
    with FakeTensorMode():
        faked = Inputs(
            *(
                each if each is None else torch.empty(each.shape, dtype=each.dtype, device="cuda")
                for each in arguments
            )
        )
        its_forward = operator.forward(*faked, *kernel)
        its_backward = operator.backward(*faked[:2], *its_forward[3:6], *faked, *kernel)
    faked = *its_forward, *its_backward
    for real, fake in zip((*forward, *backward), faked, strict=True):
        assert (real.shape, real.dtype, fake.device.type) == (fake.shape, fake.dtype, "cuda")


def check_several():
    thresholds = torch.tensor([0.5, 1.0, 1.25]).reshape(3, 1)
    for name, threshold in (("ternary", 0.75), ("float", 0.75), ("ternary", thresholds)):
        assert_equal(LONG[name], *inputs((50, 2, 3, 202)), threshold, total=1e-3)


def test_several_pass_unchanged():
    check_several()


@pytest.fixture
def changed(tmp_path):
    """A function that copies the kernel's sources with a change."""

    def change(file, old, new):
        folder = shutil.copytree(FOLDER, tmp_path / "changed")
        text = (folder / file).read_text()
        assert text.count(old) == 1
        (folder / file).write_text(text.replace(old, new))
        return folder

    return change


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("lanes.h", "    }\n    __syncthreads();\n    if", "    }\n    if"),
        ("lanes.h", "sums[2 * (Index)blockIdx.x", "sums[0 * (Index)blockIdx.x"),
        ("lanes.h", "channel + 1 < call.threshold_count ? channel + 1 : 0", "channel"),
        ("kernel.cu", "words = {};", ""),
        ("kernel.cu", "store(call.kept + kept, q);", ""),
        ("kernel.cu", "call.kept + kept - call.neurons", "call.kept + kept"),
    ],
)
def test_the_check_can_fail(file, old, new, changed, monkeypatch):
    monkeypatch.setattr(emulation, "folder", changed(file, old, new))
    with pytest.raises((AssertionError, RuntimeError)):
        check_several()


def run_sanitized_emulation(folder):
    """Run the kernel of a folder over odd shapes, stopped at an access beyond a tensor."""
    asked = [*COMPILER, "-print-file-name=libasan.so"]
    library = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(library).is_absolute():
        pytest.skip("the compiler has no sanitizers")
    options = {"LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0"}
    command = [sys.executable, "-m", "tests.ops.quantized_lif.emulation", str(folder)]
    environment = {**os.environ, **options}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.slow
def test_nothing_beyond_a_tensor_is_touched():
    result = run_sanitized_emulation(FOLDER)
    assert (result.returncode, result.stdout) == (0, "24\n"), result.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("lanes.h", "sums[2 * (Index)blockIdx.x", "sums[2 + 2 * (Index)blockIdx.x", "heap-buffer"),
        ("lanes.h", "((place * PARTS + i) * BLOCK", "((place * PARTS + i + 1) * BLOCK", "poison"),
    ],
)
def test_an_access_beyond_a_tensor_is_seen(file, old, new, fault, changed):
    result = run_sanitized_emulation(changed(file, old, new))
    assert result.returncode != 0
    assert fault in result.stderr, result.stderr[-2000:]
