"""Data modules for Lightning: data sets on disk, and embedded ones that need no download.

They have common keyword arguments and formats. For event data, an item is (frames, label) with
frames uint8 [T, C, H, W]; a batch is frames uint8 [N, T, C, H, W] and labels int64 [N]. Channel 0
is OFF (darker) and channel 1 is ON (brighter). For still images, a batch is normalised images
float32 [N, C, H, W] and labels. The test split is also the validation split, as in the papers; no
checkpoint is chosen by its accuracy. docs/data.md lists all data sets.

For detection an item is (frames, target), and a batch has a list of N targets: `boxes` float32
[M, 4] (left, top, right, bottom, in pixels of the frame), `labels` int64 [M] and `image_id`. Gen1
has a validation split of its own. docs/detection.md says more.

Names are imported on first use, since importing Lightning takes seconds and the readers of events
do not need it.
"""

# ruff: noqa: F401
from typing import TYPE_CHECKING

from qsnn_plugins.lazy import lazy_names
from qsnn_plugins.torchvision_ops import register_missing_ops

if TYPE_CHECKING:
    from qsnn_plugins.data.annotated_times import BoxFilter
    from qsnn_plugins.data.batch_mixing import BatchMixing
    from qsnn_plugins.data.cifar import CIFAR10, CIFAR100
    from qsnn_plugins.data.cifar10dvs import CIFAR10DVS
    from qsnn_plugins.data.digits import Digits, EventDigits
    from qsnn_plugins.data.dvs128_gesture import DVS128Gesture
    from qsnn_plugins.data.event_camera import EventCamera
    from qsnn_plugins.data.event_scenes import EventScenes
    from qsnn_plugins.data.frame_augmentation import (
        NeuromorphicAugmentation,
        SpikformerAugmentation,
    )
    from qsnn_plugins.data.frames import FrameBinning
    from qsnn_plugins.data.frames_module import FramesDataModule
    from qsnn_plugins.data.gen1 import Gen1
    from qsnn_plugins.data.image_transforms import Cutout
    from qsnn_plugins.data.imagenet import ImageNet
    from qsnn_plugins.data.images_module import ImagesDataModule
    from qsnn_plugins.data.ncaltech101 import NCaltech101
    from qsnn_plugins.data.ncars import NCars
    from qsnn_plugins.data.nmnist import NMNIST
    from qsnn_plugins.data.rand_augment import GaussianRandAugment
    from qsnn_plugins.data.scenes import SceneStyle
    from qsnn_plugins.data.tiny_imagenet import TinyImageNet

register_missing_ops()  # Lightning imports torchvision, which may need it

# the file of each name, for the interpreter; what stands above is for type checkers
_HOMES = {
    "BatchMixing": "batch_mixing",
    "BoxFilter": "annotated_times",
    "CIFAR10": "cifar",
    "CIFAR100": "cifar",
    "CIFAR10DVS": "cifar10dvs",
    "Digits": "digits",
    "EventDigits": "digits",
    "DVS128Gesture": "dvs128_gesture",
    "EventCamera": "event_camera",
    "EventScenes": "event_scenes",
    "NeuromorphicAugmentation": "frame_augmentation",
    "FrameBinning": "frames",
    "FramesDataModule": "frames_module",
    "Gen1": "gen1",
    "Cutout": "image_transforms",
    "ImageNet": "imagenet",
    "ImagesDataModule": "images_module",
    "NCaltech101": "ncaltech101",
    "NCars": "ncars",
    "NMNIST": "nmnist",
    "GaussianRandAugment": "rand_augment",
    "SceneStyle": "scenes",
    "SpikformerAugmentation": "frame_augmentation",
    "TinyImageNet": "tiny_imagenet",
}

__all__ = [*_HOMES]


__getattr__, __dir__ = lazy_names(__name__, _HOMES)
