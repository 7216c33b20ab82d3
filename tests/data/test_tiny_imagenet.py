"""TinyImageNet from a folder that the tests write as it is shipped."""

import numpy as np
import pytest
import torch
from PIL import Image

from qsnn_plugins.data import TinyImageNet
from qsnn_plugins.errors import ArgumentError, DataError

SYNSETS = [f"n{number:08}" for number in range(200)]


def picture(path, value, side=64):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side, 3), value, dtype=np.uint8)).save(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return two training images and one test image of each class, as bright as its label."""
    root = tmp_path_factory.mktemp("tiny-imagenet-200")
    (root / "wnids.txt").write_text("\n".join(reversed(SYNSETS)) + "\n")
    lines = []
    for label, synset in enumerate(SYNSETS):
        for number in range(2):
            picture(root / "train" / synset / "images" / f"{synset}_{number}.JPEG", label)
        picture(root / "val" / "images" / f"val_{label}.JPEG", label)
        lines.append(f"val_{label}.JPEG\t{synset}\t0\t0\t62\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(reversed(lines)))
    return root


@pytest.fixture
def root(whole, tmp_path):
    """Return a folder that a test may change."""
    root = tmp_path / "copy"
    root.mkdir()
    for path in ("train", "val/images"):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).symlink_to(whole / path)
    for path in ("wnids.txt", "val/val_annotations.txt"):
        (root / path).write_text((whole / path).read_text())
    return root


def brightness(image):
    return round(((image[0] * 0.229 + 0.485) * 255).mean().item())


def test_images_and_labels(root):
    data = TinyImageNet(str(root), batch_size=64)
    data.setup()
    assert (len(data.train), len(data.test)) == (400, 200)
    assert np.bincount(data.train.labels).tolist() == [2] * 200
    for split in (data.train, data.test):
        for index in range(0, len(split), 37):
            image, label = split[index]
            assert image.shape == data.frame_shape == (3, 64, 64)
            assert abs(brightness(image) - label) <= 1
    images, labels = next(iter(data.train_dataloader()))
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)


def test_images_are_resized(root):
    data = TinyImageNet(str(root), size=32)
    data.setup()
    assert data.train[0][0].shape == data.frame_shape == (3, 32, 32)


@pytest.mark.parametrize("name", ["wnids.txt", "val/val_annotations.txt"])
def test_missing_lists_are_named(root, name):
    (root / name).unlink()
    with pytest.raises(DataError, match=rf"{name} of TinyImageNet cannot be read .*download=true"):
        TinyImageNet(str(root)).setup()


def test_a_missing_class_is_named(root):
    (root / "wnids.txt").write_text("\n".join([*SYNSETS[1:], "n99999999"]))
    with pytest.raises(DataError, match=r"not the whole of TinyImageNet: .*n99999999"):
        TinyImageNet(str(root)).setup()
    with pytest.raises(DataError, match=r"n99999999.*; remove .* nothing was downloaded"):
        TinyImageNet(str(root), download=True).setup()


def test_another_number_of_classes_is_refused(root):
    (root / "wnids.txt").write_text("\n".join(SYNSETS[:100]))
    with pytest.raises(DataError, match="names 100 classes, not 200"):
        TinyImageNet(str(root)).setup()


def test_a_foreign_annotation_is_named(root):
    (root / "val" / "val_annotations.txt").write_text("val_3.JPEG\tn77777777\t0\t0\t1\t1\n")
    with pytest.raises(DataError, match=r"val_3\.JPEG has a class .* 'n77777777'"):
        TinyImageNet(str(root)).setup()


def test_a_broken_image_is_named(root, tmp_path):
    data = TinyImageNet(str(root))
    data.setup()
    broken = tmp_path / "broken.JPEG"
    broken.write_bytes(b"\xff\xd8 no image")
    data.test.split.paths[0] = str(broken)
    with pytest.raises(DataError, match=r"broken\.JPEG cannot be read as an image"):
        data.test[0]


@pytest.mark.parametrize(("argument", "value"), [("size", 0), ("augment", "x")])
def test_bad_settings_are_named(argument, value):
    with pytest.raises(ArgumentError, match=f"^{argument}="):
        TinyImageNet(**{argument: value})


def test_a_list_that_is_no_text_is_named(root):
    (root / "wnids.txt").write_bytes(b"n00000001\xff\xfe")
    with pytest.raises(DataError, match=r"wnids\.txt is not a text"):
        TinyImageNet(str(root)).setup()


@pytest.mark.parametrize("line", ["val_3.JPEG n00000003", ""])
def test_a_line_that_is_no_annotation_is_named(root, line):
    table = root / "val" / "val_annotations.txt"
    table.write_text(f"{table.read_text()}{line}\n")
    with pytest.raises(DataError, match=r"val_annotations\.txt: .* has a class .* ''"):
        TinyImageNet(str(root)).setup()


def test_test_images_that_are_not_there_are_named(root):
    (root / "val" / "images").unlink()
    with pytest.raises(DataError, match=r"val_199\.JPEG, which val_annotations\.txt names, is not"):
        TinyImageNet(str(root)).setup()


def test_a_test_image_that_is_annotated_twice_is_named(root):
    table = root / "val" / "val_annotations.txt"
    table.write_text(table.read_text() + table.read_text().splitlines()[0] + "\n")
    with pytest.raises(DataError, match=r"val_annotations\.txt names .*val_199\.JPEG 2 times"):
        TinyImageNet(str(root)).setup()


def test_a_class_without_test_images_is_named(root):
    """A table that ends early would test on fewer classes without a word."""
    table = root / "val" / "val_annotations.txt"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-3]))
    with pytest.raises(DataError, match=r"names no image of 3 of 200 classes: n00000000 is one"):
        TinyImageNet(str(root)).setup()
