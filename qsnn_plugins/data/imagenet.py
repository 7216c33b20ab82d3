"""ImageNet (ILSVRC 2012), all of it or some of its classes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from torchvision.datasets.folder import make_dataset

from qsnn_plugins.data.checks import at_least
from qsnn_plugins.data.image_transforms import IMAGENET_STATISTICS, photograph_transform
from qsnn_plugins.data.images_module import ImageFiles, ImagesDataModule, check_table
from qsnn_plugins.errors import ArgumentError, DataError

_CLASSES = 1_000
_HOMEPAGE = "https://image-net.org"
_SOLUTION = "LOC_val_solution.csv"
_SUFFIXES = (".jpeg", ".jpg", ".png")


class ImageNet(ImagesDataModule):
    """ImageNet (ILSVRC 2012): 1,281,167 and 50,000 photographs of 1,000 classes, or a subset.

    The validation images are the test split, as in the papers. Labels are in the order of the
    sorted synsets. ImageNet-100 is a list of a hundred synsets; the papers do not print their
    lists.

    Arguments that are not explained here are those of `BaseDataModule`.

    Args:
        root: Folder with `train/<synset>/*.JPEG` and either `val/<synset>/*.JPEG`, as torchvision
            unpacks the archives, or `val/*.JPEG` and a table `LOC_val_solution.csv` of image and
            synset, as Kaggle ships it; where the images lie in folders, the table is not used.
        classes: The synsets of a subset, or a text file with one synset at the start of each line;
            None for all 1,000 classes.
        size: Side of the crop in pixels, 224 in the papers.
        resize: Shorter side of a test image before its centre is cropped, in pixels.
        augment: Of the training split: "none" (the middle, as in a test), "crop_flip" (a crop of
            random size and a flip) or "spikformer" (all of the photograph, squeezed into the
            square, a flip, RandAugment and random erasing, as Spikformer trains).
        download: Must be False, since downloading requires consent to terms.

    Raises:
        ArgumentError: A setting is out of its range.
        DataError: A folder or file is missing or invalid.

    Example:
        >>> data = ImageNet("data/ImageNet", classes=["n01440764", "n02102040"], size=160)
        >>> data.frame_shape, data.num_classes, data.time_steps
        ((3, 160, 160), 2, None)
    """

    def __init__(
        self,
        root: str = "data/ImageNet",
        classes: list[str] | str | None = None,
        size: int = 224,
        resize: int = 256,
        augment: str = "none",
        batch_size: int = 128,
        num_workers: int = 0,
        seed: int = 0,
        download: bool = False,
    ) -> None:
        size = at_least("size", size, 1)
        resize = at_least("resize", resize, size)
        self.synsets = None if classes is None else _synsets(classes)
        super().__init__(
            num_classes=_CLASSES if self.synsets is None else len(self.synsets),
            frame_shape=(3, size, size),
            augmentation=photograph_transform(augment, size, resize, IMAGENET_STATISTICS),
            preparation=photograph_transform("none", size, resize, IMAGENET_STATISTICS),
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            root=root,
            download=download,
            homepage=_HOMEPAGE,
        )

    def pictures(self) -> tuple[ImageFiles, ImageFiles]:
        """Return the training and the test split, as files."""
        folder = self.root / "train"
        synsets = self.synsets or sorted(path.name for path in folder.glob("n*") if path.is_dir())
        if len(synsets) != self.num_classes:
            raise DataError(
                f"{folder} has {len(synsets)} folders of synsets, not {self.num_classes}: get "
                f"ImageNet from {_HOMEPAGE} as train/<synset>/*.JPEG, name a subset with "
                "classes, give another folder with root, or run on embedded images with "
                "-c recipes/overlays/embedded_static.yaml"
            )
        label = {synset: index for index, synset in enumerate(synsets)}
        train, val = _by_folder(folder, label), self.root / "val"
        solution = self.root / _SOLUTION
        test = _by_table(val, solution, label) if solution.exists() else []
        # who sorts the images into folders may leave the table there
        if not test or not test[0][0].exists():
            return ImageFiles(train), ImageFiles(_by_folder(val, label))
        return ImageFiles(train), ImageFiles(test)


def _synsets(classes: Sequence[str] | str) -> list[str]:
    """Return the synsets of a list or of a file, sorted."""
    if isinstance(classes, str):
        try:
            lines = Path(classes).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            allowed = f"a list of synsets or a readable file of them ({error})"
            raise ArgumentError("classes", classes, allowed) from error
        classes = [line.split()[0] for line in lines if line.strip()]
    synsets = sorted(set(classes))
    if not synsets or len(synsets) != len(classes):
        raise ArgumentError("classes", list(classes)[:3], "one synset or more, each once")
    return synsets


def _by_folder(folder: Path, label: dict[str, int]) -> list[tuple[str, int]]:
    try:
        return make_dataset(folder, label, extensions=_SUFFIXES)
    except OSError as error:
        raise DataError(f"{folder} lacks images of ImageNet: {error}") from error


def _by_table(folder: Path, table: Path, label: dict[str, int]) -> list[tuple[Path, int]]:
    """Return the images that a table of name and synset places in a class of `label`."""
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = [
                (row["ImageId"], row["PredictionString"].split()[0]) for row in csv.DictReader(file)
            ]
    # AttributeError: None, of a line that is too short
    except (OSError, ValueError, csv.Error, LookupError, AttributeError) as error:
        raise DataError(
            f"{table} cannot be read as a table of ImageId and PredictionString: {error!r}"
        ) from error
    found = [(folder / f"{name}.JPEG", label[synset]) for name, synset in rows if synset in label]
    check_table(found, list(label), table)
    return found
