"""Boxes and pictures that `predict` leaves behind."""

import json
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.lightning import BoxWriter, ClassWriter, box_writer
from qsnn_plugins.lightning.box_pictures import draw_boxes, save_picture
from tests.lightning.detection import build, coco_forms, coco_precision


def predict(trainer, folder, **arguments):
    model, loader = build(confidence_threshold=0.05)
    writer = BoxWriter(str(folder), **arguments)
    trainer(callbacks=[writer]).predict(model, loader, return_predictions=False)
    return model, loader


@pytest.mark.filterwarnings("ignore")
def test_the_files_are_those_of_coco(trainer, tmp_path, capsys):
    model, loader = predict(trainer, tmp_path / "boxes")
    truth, found = (
        json.loads((tmp_path / f"boxes/{n}.json").read_text()) for n in ("true", "found")
    )
    with torch.no_grad():
        by_hand, results = coco_forms(model, loader)
    assert truth["images"] == by_hand["images"]
    assert [a["bbox"] for a in truth["annotations"]] == [a["bbox"] for a in by_hand["annotations"]]
    assert found == results
    assert coco_precision(truth, found) == pytest.approx(coco_precision(by_hand, results))
    assert {path.name for path in (tmp_path / "boxes").iterdir()} == {"true.json", "found.json"}
    assert "boxes of 12 samples: " in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("picture_format", ["png", "gif"])
def test_as_many_pictures_as_asked_for(trainer, tmp_path, picture_format, monkeypatch):
    asked = Mock(wraps=box_writer.output_paths)
    monkeypatch.setattr(box_writer, "output_paths", asked)
    predict(trainer, tmp_path, pictures=7, picture_format=picture_format)
    names = sorted(path.name for path in tmp_path.glob(f"*.{picture_format}"))
    assert names == [f"{n:04d}.{picture_format}" for n in range(7)]
    with Image.open(tmp_path / names[1]) as picture:
        assert picture.size == (320, 120)
    asked.assert_called_once()  # processes agree on it: one alone would wait for the others


@pytest.mark.filterwarnings("ignore")
def test_a_rehearsal_writes_nothing(trainer, tmp_path):
    model, loader = build(confidence_threshold=0.05)
    run = trainer(callbacks=[BoxWriter(str(tmp_path / "boxes"), pictures=2)], fast_dev_run=True)
    run.predict(model, loader, return_predictions=False)
    assert not [*tmp_path.iterdir()]


def test_a_picture_shows_events_and_both_boxes():
    frames = torch.zeros(1, 2, 80, 80, dtype=torch.uint8)
    frames[0, 1, 5, 5] = frames[0, 0, 70, 70] = 1
    (picture,) = draw_boxes(frames, [([10, 20, 30, 40], "")], [([50, 20, 70, 40], "")])
    pixels = np.asarray(picture)
    assert pixels.shape == (320, 320, 3)
    red, blue, paper = pixels[22, 22], pixels[282, 282], pixels[200, 200]
    assert red[0] > blue[0]
    assert blue[2] > red[2]
    assert paper.tolist() == [255, 255, 255]
    true, found = pixels[120, 40], pixels[120, 200]
    assert true[1] > true[0], "true boxes are green"
    assert found[0] > found[1] > found[2], "found ones orange"


def test_a_gif_has_a_picture_a_step(tmp_path):
    frames = torch.zeros(3, 2, 8, 8, dtype=torch.uint8)
    frames[[0, 1, 2], 1, 2, [1, 4, 7]] = 1
    save_picture(draw_boxes(frames, [], []), tmp_path / "scene.gif")
    with Image.open(tmp_path / "scene.gif") as picture:
        assert picture.n_frames == 3


def test_an_interrupted_picture_leaves_no_half_file(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    path = tmp_path / "scene.png"
    save_picture([Image.new("RGB", (4, 4))], path)
    before = path.read_bytes()
    picture = Image.new("RGB", (9, 9))
    monkeypatch.setattr(picture, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        save_picture([picture], path)
    assert path.read_bytes() == before


def test_what_is_not_allowed_is_named():
    with pytest.raises(ArgumentError, match="pictures=-1"):
        BoxWriter(pictures=-1)
    with pytest.raises(ArgumentError, match="picture_format='jpg'"):
        BoxWriter(picture_format="jpg")


@pytest.mark.parametrize("writer", [BoxWriter, ClassWriter])
def test_a_folder_that_cannot_be_made_is_refused_before_the_prediction(writer, trainer, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArgumentError, match=r"folder=.*file.*can be written"):
        writer(str(tmp_path / "file")).on_predict_start(trainer(), None)
