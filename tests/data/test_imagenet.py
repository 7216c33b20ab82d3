"""ImageNet and subsets of it, from a folder that the tests write as it is shipped."""

import numpy as np
import pytest
from PIL import Image

from qsnn_plugins.data import ImageNet
from qsnn_plugins.data import imagenet as module
from qsnn_plugins.errors import ArgumentError, DataError

SYNSETS = ["n01440764", "n01443537", "n02102040", "n03000684"]


def picture(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((30, 40, 3), value, dtype=np.uint8)).save(path)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Return 3 training and 2 test images of each class, of brightness 50 times the label."""
    monkeypatch.setattr(module, "_CLASSES", 4)
    for number, synset in enumerate(SYNSETS):
        for image in range(3):
            picture(tmp_path / "train" / synset / f"{synset}_{image}.JPEG", 50 * number)
        for image in range(2):
            name = f"ILSVRC2012_val_{10 * number + image:08}.JPEG"
            picture(tmp_path / "val" / synset / name, 50 * number)
    return tmp_path


def flatten(root):
    """Lay the test images out as Kaggle ships them."""
    rows = ["ImageId,PredictionString"]
    for synset in SYNSETS:
        for path in sorted((root / "val" / synset).iterdir()):
            path.rename(root / "val" / path.name)
            rows.append(f"{path.stem},{synset} 1 2 3 4 {synset} 5 6 7 8 ")
        (root / "val" / synset).rmdir()
    (root / "LOC_val_solution.csv").write_text("\n".join(rows) + "\n")


def shades(split):
    """Return the label and the brightness of each image."""
    items = [split[index] for index in range(len(split))]
    return [(label, round(((i[0] * 0.229 + 0.485) * 255).mean().item())) for i, label in items]


@pytest.mark.parametrize("layout", ["folders", "table"])
def test_images_and_labels(root, layout):
    if layout == "table":
        flatten(root)
    data = ImageNet(str(root), size=24, resize=28)
    data.setup()
    assert (data.num_classes, data.frame_shape) == (4, (3, 24, 24))
    assert shades(data.train) == [(label, 50 * label) for label in range(4) for _ in range(3)]
    assert shades(data.test) == [(label, 50 * label) for label in range(4) for _ in range(2)]


def test_a_table_that_was_left_beside_sorted_images_is_not_used(root):
    flatten(root)
    for path in (root / "val").iterdir():
        synset = SYNSETS[int(path.stem[-8:]) // 10]
        (root / "val" / synset).mkdir(exist_ok=True)
        path.rename(root / "val" / synset / path.name)
    data = ImageNet(str(root), size=24, resize=28)
    data.setup()
    assert shades(data.test) == [(label, 50 * label) for label in range(4) for _ in range(2)]


def test_a_table_that_names_an_image_twice_is_refused(root):
    flatten(root)
    table = root / "LOC_val_solution.csv"
    table.write_text(table.read_text() + table.read_text().splitlines()[1] + "\n")
    with pytest.raises(DataError, match=r"solution\.csv names .*val_00000000\.JPEG 2 times"):
        ImageNet(str(root)).setup()


def test_test_images_that_are_not_there_are_an_error(root):
    flatten(root)
    for path in (root / "val").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="val lacks images of ImageNet"):
        ImageNet(str(root)).setup()


@pytest.mark.parametrize("layout", ["folders", "table"])
@pytest.mark.parametrize("given", ["list", "file"])
def test_a_subset_is_numbered_anew(root, tmp_path, layout, given):
    if layout == "table":
        flatten(root)
    classes = [SYNSETS[3], SYNSETS[1]]
    if given == "file":
        (tmp_path / "two.txt").write_text(f"{classes[0]} church\n\n{classes[1]}\n")
        classes = str(tmp_path / "two.txt")
    data = ImageNet(str(root), classes=classes, size=24, resize=24)
    data.setup()
    assert data.num_classes == 2
    assert shades(data.train) == [(0, 50)] * 3 + [(1, 150)] * 3
    assert shades(data.test) == [(0, 50)] * 2 + [(1, 150)] * 2


def test_crops_are_drawn_for_the_training_split_alone(root):
    data = ImageNet(str(root), size=24, augment="crop_flip")
    data.setup()
    assert data.train[0][0].shape == data.test[0][0].shape == (3, 24, 24)
    assert "RandomResizedCrop" in str(data.augmentation)
    assert "Random" not in str(data.preparation)


def test_missing_data_say_what_to_do(tmp_path):
    with pytest.raises(DataError) as raised:
        ImageNet(str(tmp_path)).setup()
    for word in (
        "0 folders of synsets, not 1000",
        "https://image-net.org",
        "embedded_static",
        "classes",
    ):
        assert word in str(raised.value)


def test_a_class_without_images_is_named(root):
    with pytest.raises(DataError, match=r"train lacks images of ImageNet: .*n09999999"):
        ImageNet(str(root), classes=["n01440764", "n09999999"]).setup()


def test_a_table_without_the_classes_is_named(root):
    flatten(root)
    for path in (root / "train" / SYNSETS[0]).iterdir():
        (root / "train" / "n09999999").mkdir(exist_ok=True)
        path.rename(root / "train" / "n09999999" / path.name)
    with pytest.raises(
        DataError, match=r"LOC_val_solution\.csv names no image of 1 of 1 classes: n09999999"
    ):
        ImageNet(str(root), classes=["n09999999"]).setup()


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("size", 0),
        ("resize", 100),
        ("augment", "autoaugment"),
        ("classes", []),
        ("classes", ["n01440764", "n01440764"]),
        ("classes", "no/such/file.txt"),
        ("download", True),
    ],
)
def test_bad_settings_are_named(argument, value):
    with pytest.raises(ArgumentError, match=f"^{argument}="):
        ImageNet(**{argument: value})


@pytest.mark.parametrize(
    "table",
    [
        b"",
        b"ImageId\nx\n",
        b"ImageId,PredictionString\nx\n",
        b"ImageId,PredictionString\nx, \n",
        b"\xff",
    ],
)
def test_a_damaged_table_is_named(root, table):
    (root / "LOC_val_solution.csv").write_bytes(table)
    with pytest.raises(DataError, match=r"LOC_val_solution\.csv (cannot be read|names no image)"):
        ImageNet(str(root)).setup()


def test_a_table_without_one_of_the_classes_is_named(root):
    flatten(root)
    table = root / "LOC_val_solution.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-2]))
    with pytest.raises(DataError, match=r"names no image of 1 of 4 classes: n03000684 is one"):
        ImageNet(str(root)).setup()


def test_a_list_of_classes_that_is_no_text_is_named(tmp_path):
    (tmp_path / "hundred.txt").write_bytes(b"n01440764\xff")
    with pytest.raises(ArgumentError, match=r"^classes=.*readable file"):
        ImageNet(classes=str(tmp_path / "hundred.txt"))
