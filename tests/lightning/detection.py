"""A detector that answers from a table, and the frames that belong to it."""

import contextlib
import io
import json

import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn
from torch.utils.data import DataLoader, Dataset

from qsnn_plugins.data.boxes import boxes_target, collate_boxes
from qsnn_plugins.functional import YoloGrid
from qsnn_plugins.lightning import SpikingDetector

GRID = YoloGrid(3, 4, 2, 2)
HEIGHT, WIDTH = 30, 80


class Table(nn.Module):
    """Gives outputs by the number that is written into a frame's first pixel."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = nn.Parameter(outputs)
        self.out_channels = outputs.shape[1]

    def reset_states(self):
        pass

    def forward(self, x_seq):
        return self.outputs[x_seq[:, :, 0, 0, 0].long()]


class Frames(Dataset):
    """Frames that carry their number, with boxes near those that the table gives."""

    def __init__(self, count, seed):
        generator = torch.Generator().manual_seed(seed)
        self.outputs = torch.randn(count, GRID.outputs, generator=generator)
        self.targets = []
        for n in range(count):
            boxes = SpikingDetector(Table(self.outputs), GRID).find(self.frames(n)[None])[0]
            chosen = torch.rand(len(boxes.labels), generator=generator) < 0.5
            moved = boxes.boxes + torch.randn(boxes.boxes.shape, generator=generator)
            moved[:, 2:] = torch.maximum(moved[:, 2:], moved[:, :2] + 0.5)
            swapped = torch.rand(len(boxes.labels), generator=generator) < 0.2
            labels = torch.where(swapped, 1 - boxes.labels, boxes.labels)
            self.targets.append(boxes_target(moved[chosen], labels[chosen], n))

    def frames(self, n):
        return torch.full((2, 2, HEIGHT, WIDTH), n, dtype=torch.uint8)

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, n):
        return self.frames(n), self.targets[n]


def build(count=12, seed=0, **arguments):
    """A detector and a loader whose boxes it finds in part."""
    frames = Frames(count, seed)
    model = SpikingDetector(Table(frames.outputs), GRID, **arguments)
    model.configure_callbacks = list  # a table has no layers to report on
    return model, DataLoader(frames, batch_size=5, collate_fn=collate_boxes)


def coco_precision(truth, found):
    """Both precisions as pycocotools alone measures them, of its own two forms."""
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = json.loads(json.dumps(truth))
        known.createIndex()
        judged = COCOeval(known, known.loadRes(json.loads(json.dumps(found))), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return float(judged.stats[0]), float(judged.stats[1])


def coco_forms(model, loader):
    """True and found boxes in COCO's forms, written out by hand."""
    images, annotations, results = [], [], []
    for frames, targets in loader:
        for found, target in zip(model.find(frames), targets, strict=True):
            image = int(target["image_id"])
            images.append({"id": image, "height": HEIGHT, "width": WIDTH})
            for (x, y, right, bottom), label in zip(
                target["boxes"].tolist(), target["labels"].tolist(), strict=True
            ):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image,
                        "category_id": label,
                        "bbox": [x, y, right - x, bottom - y],
                        "area": (right - x) * (bottom - y),
                        "iscrowd": 0,
                    }
                )
            for box, score, label in zip(
                found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
            ):
                x, y, right, bottom = box
                results.append(
                    {
                        "image_id": image,
                        "category_id": label,
                        "bbox": [x, y, right - x, bottom - y],
                        "score": score,
                    }
                )
    categories = [{"id": 0, "name": "car"}, {"id": 1, "name": "pedestrian"}]
    return {"images": images, "annotations": annotations, "categories": categories}, results
