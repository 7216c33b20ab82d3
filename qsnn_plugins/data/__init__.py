"""Data modules for Lightning: real data sets on disk, and embedded ones that need no download.

They share their keyword arguments, and what they give. Of event data, an item is (frames, label)
with frames uint8 [T, C, H, W]; a batch is frames uint8 [N, T, C, H, W] and labels int64 [N].
Channel 0 is OFF (darker) and channel 1 is ON (brighter). Of still images, a batch is images float32
[N, C, H, W], normalised, and labels. The test split serves validation too, as in the papers: no
checkpoint is chosen by it. docs/data.md lists them all.

For detection an item is (frames, target), and a batch has a list of N targets: `boxes` float32
[M, 4] (left, top, right, bottom, in pixels of the frame), `labels` int64 [M] and `image_id`. Gen1
has a validation split of its own. docs/detection.md says more.
"""

from qsnn_plugins.torchvision_ops import register_missing_ops

register_missing_ops()  # Lightning imports torchvision, which may need it

from qsnn_plugins.data.batch_mixing import BatchMixing  # noqa: E402
from qsnn_plugins.data.box_filter import BoxFilter  # noqa: E402
from qsnn_plugins.data.cifar import CIFAR10, CIFAR100  # noqa: E402
from qsnn_plugins.data.cifar10dvs import CIFAR10DVS  # noqa: E402
from qsnn_plugins.data.digits import Digits, EventDigits  # noqa: E402
from qsnn_plugins.data.dvs128_gesture import DVS128Gesture  # noqa: E402
from qsnn_plugins.data.event_camera import EventCamera  # noqa: E402
from qsnn_plugins.data.event_scenes import EventScenes  # noqa: E402
from qsnn_plugins.data.frame_augmentation import NeuromorphicAugmentation  # noqa: E402
from qsnn_plugins.data.frames import FrameBinning  # noqa: E402
from qsnn_plugins.data.frames_module import FramesDataModule  # noqa: E402
from qsnn_plugins.data.gen1 import Gen1  # noqa: E402
from qsnn_plugins.data.image_transforms import Cutout  # noqa: E402
from qsnn_plugins.data.imagenet import ImageNet  # noqa: E402
from qsnn_plugins.data.images_module import ImagesDataModule  # noqa: E402
from qsnn_plugins.data.ncaltech101 import NCaltech101  # noqa: E402
from qsnn_plugins.data.ncars import NCars  # noqa: E402
from qsnn_plugins.data.nmnist import NMNIST  # noqa: E402
from qsnn_plugins.data.rand_augment import GaussianRandAugment  # noqa: E402
from qsnn_plugins.data.scenes import SceneStyle  # noqa: E402
from qsnn_plugins.data.spikformer_augmentation import SpikformerAugmentation  # noqa: E402
from qsnn_plugins.data.tiny_imagenet import TinyImageNet  # noqa: E402

__all__ = [
    "CIFAR10",
    "CIFAR10DVS",
    "CIFAR100",
    "NMNIST",
    "BatchMixing",
    "BoxFilter",
    "Cutout",
    "DVS128Gesture",
    "Digits",
    "EventCamera",
    "EventDigits",
    "EventScenes",
    "FrameBinning",
    "FramesDataModule",
    "GaussianRandAugment",
    "Gen1",
    "ImageNet",
    "ImagesDataModule",
    "NCaltech101",
    "NCars",
    "NeuromorphicAugmentation",
    "SceneStyle",
    "SpikformerAugmentation",
    "TinyImageNet",
]
