"""Each test runs in a fresh interpreter: operators are registered once for a whole process."""

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest

from qsnn_plugins import torchvision_ops

MEND = """from qsnn_plugins.torchvision_ops import register_missing_ops
status = register_missing_ops()
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def status():
    process = run(MEND + "print(status)")
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


@pytest.fixture
def registered(status):
    if status != "registered":
        pytest.skip(f"torchvision's operators are {status} here: none has to be registered")


@pytest.mark.slow
def test_status_agrees_with_torchvision_itself(status):
    if importlib.util.find_spec("torchvision") is None:
        assert status == "absent"
        return
    process = run(
        MEND + "import torchvision.ops\n"
        "assert register_missing_ops() is status, 'once is enough'\n"
        "print(torchvision.extension._has_ops())\n"
    )
    assert process.stdout.strip() == str(status == "native"), process.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("registered")
def test_lightning_does_not_import_without_them():
    process = run("import lightning")
    assert process.returncode != 0
    assert "torchvision::nms does not exist" in process.stderr


@pytest.mark.slow
def test_imports_afterwards():
    process = run(
        MEND + "import torchmetrics.detection\n"
        "import lightning\n"
        "from torchvision import models, transforms\n"
        "transforms.Resize(4), models.resnet18()\n"
        "from spikingjelly.activation_based.model import sew_resnet\n"
    )
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("name", ["_C.so", "_C_stable.so"])
def test_the_library_of_every_torchvision_is_found(name, tmp_path, monkeypatch):
    """From 0.29 on it has another name; beside it, registering ours ends the process."""
    (tmp_path / name).touch()
    spec = ModuleSpec("torchvision", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    assert torchvision_ops._library_path() == str(tmp_path / name)


HOST = "from spikingjelly.activation_based import neuron\n"
BUILDER = "from spikingjelly.activation_based.model import sew_resnet\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "import qsnn_plugins\n" + BUILDER,
        "from qsnn_plugins import inject, presets\n" + BUILDER,
        "from qsnn_plugins import presets\nimport lightning\n",
        "from qsnn_plugins.snntorch import inject\nimport torchmetrics.detection\n",
        HOST + "from qsnn_plugins import inject\n" + BUILDER,
        f"try:\n    {BUILDER}except RuntimeError:\n    pass\nimport qsnn_plugins\n" + BUILDER,
    ],
)
def test_any_import_of_this_package_before_that_of_torchvision_is_enough(code):
    process = run(code + "import torchvision.ops")
    assert process.returncode == 0, process.stderr


def test_torchvision_is_not_imported_for_it():
    process = run("import sys, qsnn_plugins.spikingjelly\nprint('torchvision' in sys.modules)")
    assert process.stdout.strip() == "False", process.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("registered")
def test_a_failed_import_works_afterwards():
    process = run(
        "try:\n    import torchvision\nexcept RuntimeError:\n    pass\n"
        + MEND
        + "import torchvision"
    )
    assert process.returncode == 0, process.stderr


@pytest.mark.usefixtures("registered")
def test_calling_a_registered_operator_says_what_to_do():
    process = run(
        MEND + "import torch\n"
        "boxes = torch.tensor([[0., 0., 1., 1.]]), torch.tensor([1.]), 0.5\n"
        "for name in ('nms', 'qnms'):\n"
        "    try:\n"
        "        getattr(torch.ops.torchvision, name)(*boxes)\n"
        "    except RuntimeError as error:\n"
        "        print(name, error)\n"
    )
    lines = process.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["nms", "qnms"], process.stderr
    assert all(line.endswith("install the torchvision that was built for it") for line in lines)


def test_native_operators_are_left_alone():
    """As on a machine whose torchvision fits: the operator is there before we look."""
    process = run(
        "import torch\n"
        'library = torch.library.Library("torchvision", "DEF")\n'
        'library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")\n'
        'library.impl("nms", lambda dets, scores, iou: dets.new_tensor([7]), "CPU")\n'
        + MEND
        + 'assert status == "native"\n'
        "print(torch.ops.torchvision.nms(torch.ones(1, 4), torch.ones(1), 0.5))"
    )
    assert process.stdout.strip() == "tensor([7.])", process.stderr


def test_absent_torchvision(tmp_path):
    process = run(
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        'importlib.util.find_spec = lambda name: None if name == "torchvision" else find(name)\n'
        + MEND
        + 'assert status == "absent"'
    )
    assert process.returncode == 0, process.stderr
