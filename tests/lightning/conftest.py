"""A tiny data set and the trainer that the tests of this folder share."""

import pytest

from qsnn_plugins.torchvision_ops import register_missing_ops

register_missing_ops()

import torch  # noqa: E402
from lightning.pytorch import Trainer  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from qsnn_plugins.lightning import SpikingClassifier  # noqa: E402
from qsnn_plugins.models import StringNet  # noqa: E402
from qsnn_plugins.spec import QuantSpec, ThresholdSpec, WeightSpec  # noqa: E402


@pytest.fixture
def loader():
    """Frames [N, T, C, H, W] of two classes that differ in the polarity that is active."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(32) % 2
    frames = (torch.rand(32, 4, 2, 8, 8, generator=generator) < 0.5).to(torch.uint8)
    frames[torch.arange(32), :, labels] = 0
    return DataLoader(TensorDataset(frames, labels), batch_size=8)


@pytest.fixture
def model():
    """Build a quantized classifier of two classes."""
    torch.manual_seed(0)
    spec = QuantSpec(
        threshold=ThresholdSpec(gradient="separate"), weight=WeightSpec("power_of_two", bits=4)
    )
    return SpikingClassifier(StringNet("8C3-AP2-8C3-GAP-FC2", spec=spec))


@pytest.fixture
def trainer(tmp_path):
    """Build trainers that write into `tmp_path` and stay quiet."""

    def build(**arguments):
        quiet = {
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "accelerator": "cpu",
        }
        return Trainer(default_root_dir=tmp_path, **(quiet | arguments))

    return build
