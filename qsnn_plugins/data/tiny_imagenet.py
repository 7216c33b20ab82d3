"""TinyImageNet: 200 classes of ImageNet at 64 x 64 pixels."""

from __future__ import annotations

from torchvision.datasets.folder import make_dataset

from qsnn_plugins.data.checks import at_least
from qsnn_plugins.data.download import Archive
from qsnn_plugins.data.image_transforms import IMAGENET_STATISTICS, small_image_transform
from qsnn_plugins.data.images_module import ImageFiles, ImagesDataModule, check_table
from qsnn_plugins.errors import DataError

_ARCHIVE = Archive(
    "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    md5="90528d7ca1a48142e341f4ef8d21d0de",
    folder="tiny-imagenet-200",
)
_CLASSES = 200


class TinyImageNet(ImagesDataModule):
    """TinyImageNet: 100,000 and 10,000 images of 200 classes, 64 x 64 pixels.

    The validation images are the test split, as in the papers: the labels of the test images were
    never published. Labels follow the sorted synsets.

    Arguments that are not explained here are those of `BaseDataModule`.

    Args:
        root: Folder of the unpacked archive: `wnids.txt`, `train/<synset>/images/*.JPEG`,
            `val/images/*.JPEG` and `val/val_annotations.txt`.
        size: Side of the images in pixels; others than 64 are resized.
        augment: Of the training split: "none", "crop_flip", "autoaugment", "rotate_flip" (as
            MINT's code has it) or "spikformer" (as Spikformer's code has it for CIFAR).

    Raises:
        ArgumentError: A setting is out of its range.
        DataError: A file is missing, or is not what it should be (when it is asked for).

    Example:
        >>> data = TinyImageNet("data/tiny-imagenet-200", augment="rotate_flip")
        >>> data.frame_shape, data.num_classes, data.time_steps
        ((3, 64, 64), 200, None)
    """

    def __init__(
        self,
        root: str = "data/tiny-imagenet-200",
        size: int = 64,
        augment: str = "none",
        batch_size: int = 128,
        num_workers: int = 0,
        seed: int = 0,
        download: bool = False,
    ) -> None:
        size = at_least("size", size, 8)
        super().__init__(
            num_classes=_CLASSES,
            frame_shape=(3, size, size),
            augmentation=small_image_transform(augment, size, IMAGENET_STATISTICS),
            preparation=small_image_transform("none", size, IMAGENET_STATISTICS),
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            root=root,
            download=download,
            archives=(_ARCHIVE,),
        )

    def pictures(self) -> tuple[ImageFiles, ImageFiles]:
        """Return the training and the test split, as files."""
        synsets = sorted(self._lines("wnids.txt"))
        label = {synset: index for index, synset in enumerate(synsets)}
        if len(label) != _CLASSES:
            raise DataError(f"{self.root / 'wnids.txt'} names {len(label)} classes, not {_CLASSES}")
        try:
            train = make_dataset(self.root / "train", label, extensions=(".jpeg",))
        except OSError as error:
            advice = f"; {self._download_advice()}" * self.download
            raise DataError(
                f"{self.root} is not the whole of TinyImageNet: {error}{advice}"
            ) from error
        test = []
        table = self.root / "val/val_annotations.txt"
        for line in self._lines("val/val_annotations.txt"):
            name, synset, *_ = *line.split("\t"), ""
            if synset not in label:
                raise DataError(
                    f"{table}: {name} has a class that wnids.txt does not name, {synset!r}"
                )
            test.append((self.root / "val" / "images" / name, label[synset]))
        check_table(test, synsets, table)
        if not test[0][0].exists():
            raise DataError(f"{test[0][0]}, which {table.name} names, is not there")
        return ImageFiles(train), ImageFiles(test)

    def _lines(self, name: str) -> list[str]:
        try:
            return (self.root / name).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise self._missing_file(self.root / name, "TinyImageNet", error) from error
        except UnicodeDecodeError as error:
            raise DataError(f"{self.root / name} is not a text: {error}") from error
