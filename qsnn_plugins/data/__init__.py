"""Data modules for Lightning: real data sets on disk, and embedded ones that need no download.

They share their keyword arguments, and what they give: an item is (frames, label) with frames uint8
[T, C, H, W]; a batch is frames uint8 [N, T, C, H, W] and labels int64 [N]. Of event data, channel 0
is OFF (darker) and channel 1 is ON (brighter). The test split serves validation too, as in the
papers: no checkpoint is chosen by it.

For detection an item is (frames, target), and a batch has a list of N targets: `boxes` float32
[M, 4] (left, top, right, bottom, in pixels of the frame), `labels` int64 [M] and `image_id`. Gen1
has a validation split of its own.
"""

from qsnn_plugins.torchvision_ops import mend

mend()  # Lightning imports torchvision, which may need it

from qsnn_plugins.data.box_filter import BoxFilter  # noqa: E402
from qsnn_plugins.data.cifar10dvs import CIFAR10DVS  # noqa: E402
from qsnn_plugins.data.digits import EventDigits  # noqa: E402
from qsnn_plugins.data.event_camera import EventCamera  # noqa: E402
from qsnn_plugins.data.event_scenes import EventScenes  # noqa: E402
from qsnn_plugins.data.frames import FrameBinning  # noqa: E402
from qsnn_plugins.data.frames_module import FramesDataModule  # noqa: E402
from qsnn_plugins.data.gen1 import Gen1  # noqa: E402
from qsnn_plugins.data.nmnist import NMNIST  # noqa: E402
from qsnn_plugins.data.scenes import SceneStyle  # noqa: E402

__all__ = [
    "CIFAR10DVS",
    "NMNIST",
    "BoxFilter",
    "EventCamera",
    "EventDigits",
    "EventScenes",
    "FrameBinning",
    "FramesDataModule",
    "Gen1",
    "SceneStyle",
]
