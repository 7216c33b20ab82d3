"""The classes that `predict` leaves behind."""

import csv

import torch

from tests.lightning.small_run import Data, build


def test_classes_and_labels_of_every_sample_are_written(trainer, tmp_path):
    model, data = build(), Data()
    found = trainer().predict(model, data.test_dataloader())
    with open(tmp_path / "classes.csv", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head == ["sample", "class", "label"]
    assert [int(row[0]) for row in rows] == list(range(18))
    assert [int(row[1]) for row in rows] == torch.cat(found).tolist()
    assert [int(row[2]) for row in rows] == [i % 2 for i in range(18)]
