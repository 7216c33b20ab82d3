"""LightningModules and callbacks of the recipes."""

from qsnn_plugins.torchvision_ops import register_missing_ops

register_missing_ops()

from qsnn_plugins.lightning.box_writer import BoxWriter  # noqa: E402
from qsnn_plugins.lightning.checkpoint import RunCheckpoint, newest_checkpoint  # noqa: E402
from qsnn_plugins.lightning.class_writer import ClassWriter  # noqa: E402
from qsnn_plugins.lightning.classifier import SpikingClassifier  # noqa: E402
from qsnn_plugins.lightning.detector import SpikingDetector  # noqa: E402
from qsnn_plugins.lightning.divergence import StopOnDivergence  # noqa: E402
from qsnn_plugins.lightning.report import NetworkReport  # noqa: E402
from qsnn_plugins.lightning.tensorboard import TensorBoard  # noqa: E402
from qsnn_plugins.lightning.throughput import Throughput  # noqa: E402
from qsnn_plugins.lightning.time_steps import TimedModule  # noqa: E402

__all__ = [
    "BoxWriter",
    "ClassWriter",
    "NetworkReport",
    "RunCheckpoint",
    "SpikingClassifier",
    "SpikingDetector",
    "StopOnDivergence",
    "TensorBoard",
    "Throughput",
    "TimedModule",
    "newest_checkpoint",
]
