"""N-Caltech101: the photographs of Caltech101, recorded by an event camera that makes saccades."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from qsnn_plugins.data.atis import read_atis_bin
from qsnn_plugins.data.class_splits import check_split, split_classes
from qsnn_plugins.data.download import Archive
from qsnn_plugins.data.frame_augmentation import NeuromorphicAugmentation
from qsnn_plugins.data.frame_cache import EventReader
from qsnn_plugins.data.frames import FrameBinning
from qsnn_plugins.data.recordings import (
    EventDataset,
    RecordingsDataModule,
    Splits,
    list_recordings,
)
from qsnn_plugins.spec.checks import boolean

_SENSOR = (180, 240)
_BACKGROUND = "BACKGROUND_Google"
# Caltech101's objects in the order of their folders; N-Caltech101 left out Faces.
_OBJECTS = (
    *("Faces_easy", "Leopards", "Motorbikes", "accordion", "airplanes", "anchor", "ant", "barrel"),
    *("bass", "beaver", "binocular", "bonsai", "brain", "brontosaurus", "buddha", "butterfly"),
    *("camera", "cannon", "car_side", "ceiling_fan", "cellphone", "chair", "chandelier"),
    *("cougar_body", "cougar_face", "crab", "crayfish", "crocodile", "crocodile_head", "cup"),
    *("dalmatian", "dollar_bill", "dolphin", "dragonfly", "electric_guitar", "elephant", "emu"),
    *("euphonium", "ewer", "ferry", "flamingo", "flamingo_head", "garfield", "gerenuk"),
    *("gramophone", "grand_piano", "hawksbill", "headphone", "hedgehog", "helicopter", "ibis"),
    *("inline_skate", "joshua_tree", "kangaroo", "ketch", "lamp", "laptop", "llama", "lobster"),
    *("lotus", "mandolin", "mayfly", "menorah", "metronome", "minaret", "nautilus", "octopus"),
    *("okapi", "pagoda", "panda", "pigeon", "pizza", "platypus", "pyramid", "revolver", "rhino"),
    *("rooster", "saxophone", "schooner", "scissors", "scorpion", "sea_horse", "snoopy"),
    *("soccer_ball", "stapler", "starfish", "stegosaurus", "stop_sign", "strawberry", "sunflower"),
    *("tick", "trilobite", "umbrella", "watch", "water_lilly", "wheelchair", "wild_cat"),
    *("windsor_chair", "wrench", "yin_yang"),
)


_NCALTECH101 = EventDataset(
    reader=EventReader("N-Caltech101", _SENSOR, partial(read_atis_bin, sensor=_SENSOR)),
    classes=(_BACKGROUND, *_OBJECTS),
    layout="as <class>/image_<number>.bin, two or more per class",
    homepage="https://www.garrickorchard.com/datasets/n-caltech101",
    archives=(
        Archive(
            "https://data.mendeley.com/public-files/datasets/cy6cvx3ryv/files/"
            "36b5c52a-b49d-4853-addb-a836a8883e49/file_downloaded",
            md5="66201824eabb0239c7ab992480b50ba3",
            folder="Caltech101",
            name="N-Caltech101-archive.zip",
        ),
    ),
    nda=NeuromorphicAugmentation(roll=3, degrees=15.0),
)


class NCaltech101(RecordingsDataModule):
    """N-Caltech101 (Orchard et al., 2015): 8,709 recordings of 101 classes, 180 x 240 pixels.

    The 101 classes are the background and a hundred objects (with Faces_easy, without Faces). The
    data set has no official split: by default, nine tenths of each class, drawn with a fixed seed,
    are for training. Shymyrbay et al. split 80:20: `test_fraction=0.2`.

    Arguments that are not explained here are those of `RecordingsDataModule`.

    Args:
        root: Folder with `<class>/image_<number>.bin`.
        size: (H, W) of a frame in pixels, or one side of a square; the sensor has 180 x 240, and
            IM-SNN's code keeps its aspect ratio with 48 x 64.
        test_fraction: Share of each class in the test split.
        split: "random" draws the test split with a fixed seed, "ordered" uses the last of each
            class.
        background: False for a hundred classes without the background.

    Raises:
        ArgumentError: A setting is out of its range.
        DataError: Recordings are missing or broken (when the data are first used).

    Example:
        >>> data = NCaltech101("data/NCaltech101", size=(48, 64))  # reads nothing yet
        >>> data.frame_shape, data.num_classes, data.time_steps
        ((2, 48, 64), 101, 10)
        >>> NCaltech101(background=False).num_classes
        100
    """

    def __init__(
        self,
        root: str = "data/NCaltech101",
        time_steps: int = 10,
        size: int | tuple[int, int] = 48,
        bin_by: str = "time",
        binary: bool = True,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        cache_dir: str | None = None,
        allow_broken: bool = False,
        augment: str = "none",
        download: bool = False,
        test_fraction: float = 0.1,
        split: str = "random",
        background: bool = True,
    ) -> None:
        check_split(test_fraction, split)
        boolean("background", background)
        super().__init__(
            _NCALTECH101 if background else replace(_NCALTECH101, classes=_OBJECTS),
            root=root,
            binning=FrameBinning(time_steps, size, bin_by, binary),
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            cache_dir=cache_dir,
            allow_broken=allow_broken,
            augment=augment,
            download=download,
        )
        self.test_fraction, self.test_by = test_fraction, split

    def split_facts(self) -> dict[str, Any]:
        """Return how the recordings are split."""
        return {"test_fraction": self.test_fraction, "split": self.test_by}

    def find(self) -> Splits:
        """Return the recordings of each class, split."""
        classes = list_recordings(self.root, self.dataset.classes, (".bin",))
        return split_classes(classes, self.test_fraction, self.test_by)
