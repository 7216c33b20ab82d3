"""The command line's parser, without what it runs."""

import pytest

from qsnn_plugins.torchvision_ops import register_missing_ops

register_missing_ops()

from lightning import LightningDataModule, LightningModule, Trainer  # noqa: E402
from lightning.pytorch.cli import LightningArgumentParser  # noqa: E402

import qsnn_plugins.data  # noqa: E402 - recipes name classes in short
import qsnn_plugins.lightning  # noqa: E402
import qsnn_plugins.models  # noqa: E402, F401


@pytest.fixture(scope="session")
def parser():
    """What `lightning fit` reads a composed recipe with."""
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_argument("--seed_everything", type=int)
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.add_lightning_class_args(LightningModule, "model", subclass_mode=True)
    parser.add_lightning_class_args(LightningDataModule, "data", subclass_mode=True)
    return parser
