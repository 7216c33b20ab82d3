"""Writing what a detector finds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.files import atomic_write
from qsnn_plugins.functional import Detections
from qsnn_plugins.lightning.box_pictures import draw_boxes, save_picture
from qsnn_plugins.lightning.output_paths import output_paths

__all__ = ["BoxWriter"]

PictureFormat = Literal["png", "gif"]


class BoxWriter(BasePredictionWriter):
    """Writes detected and true boxes in COCO's format, and, if requested, pictures.

    `found.json` is a COCO list of results, `true.json` a COCO data set of images, annotations and
    categories, so that pycocotools can read both. Categories are the labels. With several devices,
    each device writes its own files, whose names end with its rank. With `fast_dev_run`, nothing is
    written.

    Args:
        folder: Output folder; None is the folder of the run's logger, or of the trainer.
        pictures: Number of samples to draw, from the first one.
        picture_format: "png" shows the last step, "gif" all of them.
        min_score: Lowest score of boxes that are drawn; boxes of any score are written.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> BoxWriter(pictures=8, picture_format="gif").picture_format
        'gif'
    """

    def __init__(
        self,
        folder: str | None = None,
        pictures: int = 0,
        picture_format: PictureFormat = "png",
        min_score: float = 0.5,
    ) -> None:
        super().__init__(write_interval="batch")
        if pictures < 0:
            raise ArgumentError("pictures", pictures, "an integer from 0")
        if picture_format not in get_args(PictureFormat):
            raise ArgumentError("picture_format", picture_format, "'png' or 'gif'")
        self.folder, self.pictures, self.picture_format = folder, pictures, picture_format
        self.min_score = min_score
        self._found: list[dict[str, Any]] = []
        self._images: list[dict[str, Any]] = []
        self._true: list[dict[str, Any]] = []
        self._paths: list[Path] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start with empty lists, and make the folder before anything is computed for it."""
        self._found, self._images, self._true = [], [], []
        self._paths = output_paths(self.folder, trainer, "found.json", "true.json")

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Sequence[Detections],
        batch_indices: Sequence[int] | None,
        batch: tuple[Tensor, list[dict[str, Tensor]]],
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Note the boxes of a batch, and draw the first samples."""
        frames, targets = batch
        for sample, found, target in zip(frames, prediction, targets, strict=True):
            image = int(target["image_id"])
            self._note(image, sample, found, target)
            if image < self.pictures and self._paths:
                self._draw(trainer, image, sample, found, target)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write both files, and say where they are."""
        if not self._paths:
            return
        names = _class_names(trainer)
        grid: Any = pl_module.grid
        categories = [{"id": k, "name": names[k] if names else str(k)} for k in range(grid.classes)]
        truth = {"images": self._images, "annotations": self._true, "categories": categories}
        for path, content in zip(self._paths, (self._found, truth), strict=True):
            with atomic_write(path, "w") as file:
                json.dump(content, file)
        if trainer.is_global_zero:
            print(f"boxes of {len(self._images)} samples: {self._paths[0].parent}")

    def _note(
        self, image: int, sample: Tensor, found: Detections, target: dict[str, Tensor]
    ) -> None:
        height, width = sample.shape[-2:]
        self._images.append({"id": image, "height": height, "width": width})
        scored = zip(found.boxes, found.labels, found.scores.tolist(), strict=True)
        for box, label, score in scored:
            entry = {"image_id": image, "category_id": int(label), "bbox": _coco(box)}
            self._found.append({**entry, "score": score})
        for box, label in zip(target["boxes"], target["labels"], strict=True):
            _, _, w, h = bbox = _coco(box)
            entry = {"image_id": image, "category_id": int(label), "bbox": bbox}
            number = len(self._true) + 1  # COCO's matching takes an id of 0 for no match
            self._true.append({**entry, "id": number, "area": w * h, "iscrowd": 0})

    def _draw(
        self,
        trainer: Trainer,
        image: int,
        sample: Tensor,
        found: Detections,
        target: dict[str, Tensor],
    ) -> None:
        names = _class_names(trainer)

        def name(label: Tensor) -> str:
            return names[int(label)] if names else str(int(label))

        true = [
            (box.tolist(), name(label))
            for box, label in zip(target["boxes"], target["labels"], strict=True)
        ]
        drawn = [
            (box.tolist(), f"{name(label)} {float(score):.2f}")
            for box, score, label in zip(*found, strict=True)
            if score >= self.min_score
        ]
        path = self._paths[0].with_name(f"{image:04d}.{self.picture_format}")
        save_picture(draw_boxes(sample, true, drawn), path)


def _coco(box: Tensor) -> list[float]:
    left, top, right, bottom = box.tolist()
    return [left, top, right - left, bottom - top]


def _class_names(trainer: Trainer) -> tuple[str, ...]:
    return getattr(getattr(trainer, "datamodule", None), "class_names", ())
