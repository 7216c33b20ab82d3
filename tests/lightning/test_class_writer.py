"""The classes that `predict` leaves behind."""

import csv

import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.lightning import ClassWriter, StopOnDivergence
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


def test_a_protected_file_stops_before_a_batch(trainer, tmp_path):
    (tmp_path / "classes.csv").touch(0o444)
    model, data = build(), Data()
    model.predict_step = lambda batch: None
    with pytest.raises(ArgumentError, match=r"written \(the file is write-protected\)"):
        trainer().predict(model, data.test_dataloader())


def test_a_rehearsal_leaves_the_classes_of_before(trainer, tmp_path, capsys):
    t = trainer(fast_dev_run=True)
    t.predict(build(), Data().test_dataloader())
    assert not [*tmp_path.iterdir()]
    assert "fast_dev_run: predictions are not written\n" in capsys.readouterr().out


def test_callbacks_of_the_user_stay(trainer, tmp_path):
    """Lightning would put the module's own in the place of those of their class."""
    t = trainer(callbacks=[ClassWriter(str(tmp_path / "mine"))])
    t.predict(build(), Data().test_dataloader())
    assert [path.name for path in tmp_path.rglob("*.csv")] == ["classes.csv"]
    assert (tmp_path / "mine" / "classes.csv").is_file()
    t.predict(build(), Data().test_dataloader())
    own = [each for each in t.callbacks if isinstance(each, StopOnDivergence | ClassWriter)]
    assert [type(each) for each in own] == [ClassWriter, StopOnDivergence], "each once"
