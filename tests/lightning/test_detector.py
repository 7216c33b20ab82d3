"""The detector: its precision against pycocotools, its loss, and what it refuses."""

import pytest
import torch
from lightning.pytorch import Callback

from qsnn_plugins.data import EventScenes
from qsnn_plugins.errors import ArgumentError, DataError
from qsnn_plugins.functional import YoloGrid
from qsnn_plugins.lightning import NetworkReport, SpikingDetector
from qsnn_plugins.models import StringNet
from qsnn_plugins.nn import YoloLoss
from qsnn_plugins.reproduce import load_paper
from tests.lightning.detection import GRID, Table, build, coco_forms, coco_precision

SMALL = "4C3-MP2-8C3-MP2-8C3-MP2-GRID12"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", [0, 1])
def test_the_precision_is_that_of_pycocotools(trainer, seed):
    model, loader = build(seed=seed, confidence_threshold=0.05)
    run = trainer()
    (measured,) = run.test(model, loader, verbose=False)
    with torch.no_grad():
        whole, at_half = coco_precision(*coco_forms(model, loader))
    assert 0.05 < whole < at_half < 1.0
    assert measured["test_map"] == pytest.approx(whole, abs=1e-6)
    assert measured["test_ap50"] == pytest.approx(at_half, abs=1e-6)
    (table,) = (t for t in load_paper("comparison").tables.values() if t.table == "scenes")
    assert {column.metric for column in table.columns.values()} <= measured.keys()


@pytest.mark.filterwarnings("ignore")
def test_a_worse_detector_measures_less(trainer):
    model, loader = build(confidence_threshold=0.05)
    (right,) = trainer().test(model, loader, verbose=False)
    with torch.no_grad():
        model.network.outputs += 0.5 * torch.randn_like(model.network.outputs)
    (worse,) = trainer().test(model, loader, verbose=False)
    assert worse["test_map"] < right["test_map"] - 0.05


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("given", [(), (NetworkReport(),)])
def test_a_test_ends_with_both_precisions(trainer, capsys, given):
    data = EventScenes(test_scenes=3, batch_size=2)
    model = SpikingDetector(StringNet(SMALL, input_size=(48, 64)))
    trainer(callbacks=[*given]).test(model, data, verbose=False)
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("test mAP (0.5:0.95): ")
    assert ", AP50: " in last


@pytest.mark.filterwarnings("ignore")
def test_training_logs_the_parts_of_the_loss(trainer):
    data = EventScenes(train_scenes=8, test_scenes=2, batch_size=4)
    model = SpikingDetector(StringNet(SMALL, input_size=(48, 64)))
    run = trainer(max_epochs=1)
    run.fit(model, data)
    logged = {name: float(value) for name, value in run.callback_metrics.items()}
    parts = ("centre", "shape", "confidence", "no_object", "classes")
    assert logged["train_loss"] == pytest.approx(sum(logged[f"train_{p}"] for p in parts), rel=1e-5)
    assert {"val_map", "val_ap50"} <= set(logged)


@pytest.mark.filterwarnings("ignore")
def test_the_same_seed_gives_the_same_weights(trainer):
    def trained():
        torch.manual_seed(3)
        model = SpikingDetector(StringNet(SMALL, input_size=(48, 64)))
        data = EventScenes(train_scenes=8, test_scenes=2, batch_size=4)
        trainer(max_epochs=2, deterministic=True).fit(model, data)
        return model.state_dict()

    first, second = trained(), trained()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_boxes_are_in_pixels_and_the_loss_sees_them_relative(trainer):
    frames = torch.zeros(1, 2, 2, 30, 80)
    model = SpikingDetector(Table(torch.zeros(1, 7)), YoloGrid(1, 1, 1, 2))
    with torch.no_grad():
        model.network.outputs[0] = torch.tensor([0.5, 0.5, 1.0, 1.0, 9.0, 0.0, 9.0])
    found = model.find(frames)[0]
    assert found.boxes.tolist() == [[0, 0, 80, 30]]
    model.log = model.log_dict = lambda *_, **__: None
    target = {"boxes": found.boxes, "labels": found.labels}
    loss = model.training_step((frames, [target]), 0)
    expected, _ = YoloLoss()(
        model(frames), [{**target, "boxes": torch.tensor([[0.0, 0.0, 1.0, 1.0]])}], model.grid
    )
    assert float(loss.detach()) == pytest.approx(float(expected.detach()))


def test_nothing_to_find_is_no_error():
    data = EventScenes(train_scenes=2, batch_size=2)
    frames, targets = next(iter(data.train_dataloader()))
    nothing = [{k: v[:0] if v.dim() else v for k, v in target.items()} for target in targets]
    model = SpikingDetector(StringNet(SMALL, input_size=(48, 64)))
    model.log = model.log_dict = lambda *_, **__: None
    model.training_step((frames, nothing), 0).backward()
    model.validation_step((frames, nothing), 0)
    assert float(model.precision.compute()["map"]) == -1.0


def test_what_does_not_fit_is_named():
    network = StringNet(SMALL, input_size=(48, 64))
    with pytest.raises(ArgumentError, match="one of the network's 576 outputs"):
        SpikingDetector(network, YoloGrid(5, 8))
    for name, value in (("schedule", "step"), ("confidence_threshold", 2), ("iou_threshold", -1)):
        with pytest.raises(ArgumentError, match=f"{name}="):
            SpikingDetector(network, **{name: value})
    with pytest.raises(ArgumentError, match=r"frames.shape=.*\[N, T, C, H, W\]"):
        SpikingDetector(network)(torch.zeros(1, 2, 48, 64))


def test_a_label_beyond_the_grid_is_named():
    model, loader = build(count=3)
    frames, targets = next(iter(loader))
    targets[0]["labels"] = torch.full_like(targets[0]["labels"], GRID.classes)
    with pytest.raises(DataError, match=r"but the grid has 2 classes: they must lie in 0\.\.1"):
        model.training_step((frames, targets), 0)


@pytest.mark.filterwarnings("ignore")
def test_a_run_that_is_resumed_goes_on_with_new_scenes(trainer, tmp_path):
    seen = []

    class Numbers(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            seen.extend(int(target["image_id"]) for target in batch[1])

    def fit(epochs, **arguments):
        model = SpikingDetector(StringNet(SMALL, input_size=(48, 64)))
        data = EventScenes(train_scenes=4, test_scenes=2, batch_size=2)
        run = trainer(max_epochs=epochs, callbacks=[Numbers()])
        run.fit(model, data, **arguments)
        return run

    fit(2).save_checkpoint(tmp_path / "two.ckpt")
    assert seen == list(range(8))
    fit(3, ckpt_path=tmp_path / "two.ckpt", weights_only=True)
    assert seen == list(range(12))
