"""Training curves: what is read of logs, and the means and intervals that are drawn."""

import numpy as np
import pytest
from scipy import stats

from qsnn_plugins.errors import ArgumentError, DataError
from qsnn_plugins.plot import curves_figure, read_history, read_record

HEADER = "epoch,step,train_loss,val_accuracy\n"


def test_what_is_logged_twice_in_an_epoch_is_averaged(tmp_path):
    rows = "0,9,2.0,\n0,19,1.0,\n0,19,,0.25\n1,29,0.5,\n1,29,,0.75\n"
    (tmp_path / "metrics.csv").write_text(HEADER + rows)
    wanted = {"train_loss": {0: 1.5, 1: 0.5}, "val_accuracy": {0: 0.25, 1: 0.75}}
    assert read_history(tmp_path / "metrics.csv") == wanted
    assert read_history(tmp_path) == wanted


def part(folder, version, rows):
    file = folder / "fit" / f"version_{version}" / "metrics.csv"
    file.parent.mkdir(parents=True)
    file.write_text(HEADER + rows)


def test_a_run_that_went_on_is_one_and_a_new_one_wins(tmp_path):
    part(tmp_path, 2, "0,9,,0.1\n1,19,,0.2\n")
    part(tmp_path, 10, "1,19,,0.3\n2,29,,0.4\n")
    assert read_history(tmp_path) == {"val_accuracy": {0: 0.1, 1: 0.3, 2: 0.4}}
    part(tmp_path, 11, "0,9,,0.9\n")
    assert read_history(tmp_path) == {"val_accuracy": {0: 0.9}}


def test_a_record_has_the_seeds_and_folds_of_each_row(tmp_path):
    rows = "a,1,0,0.5,\na,2,0,0.7,\nb,1,0,0.1,\na,1,,,0.6\n"
    rows += "b --data.fold=1,1,0,0.2,\n"
    (tmp_path / "runs.csv").write_text("words,seed,epoch,val_accuracy,test_accuracy\n" + rows)
    assert read_record(tmp_path / "runs.csv") == {
        "a": [{"val_accuracy": {0: 0.5}}, {"val_accuracy": {0: 0.7}}],
        "b": [{"val_accuracy": {0: 0.1}}, {"val_accuracy": {0: 0.2}}],
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "there is no metrics.csv"),
        ("", "no column `epoch`"),
        ("a,b\n1,2\n", "no column `epoch`"),
        (HEADER, "no column `epoch` with rows"),
        (HEADER + "0,1,x,\n", "train_loss is 'x' in epoch '0'"),
        (HEADER + "z,1,1,\n", "in epoch 'z'"),
        (HEADER + "0,1,,\n", "nothing was logged"),
    ],
)
def test_what_cannot_be_read_is_one_error(text, sentence, tmp_path):
    if text is not None:
        (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_history(tmp_path)


def test_a_line_is_the_mean_and_its_band_the_interval():
    values = [(0.2, 0.4), (0.21, 0.45), (0.25, 0.41)]
    runs = [{"val_accuracy": dict(enumerate(v)), "train_loss": {0: 1.0, 1: 0.5}} for v in values]
    figure = curves_figure({"three": runs, "one": runs[:1]}, ["train_loss", "val_accuracy"])
    loss, accuracy = figure.axes
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "training loss",
        "validation accuracy (%)",
    ]
    assert list(loss.lines[0].get_ydata()) == [1, 0.5]
    three, one = accuracy.lines
    assert list(three.get_xdata()) == [1, 2]
    assert three.get_ydata() == pytest.approx(100 * np.mean(values, axis=0))
    assert one.get_ydata() == pytest.approx([20, 40])
    (band,) = accuracy.collections
    first = [v[0] for v in values]
    low, high = stats.t.interval(0.95, 2, np.mean(first), stats.sem(first))
    at_first = [y for x, y in band.get_paths()[0].vertices if x == 1]
    assert min(at_first) == pytest.approx(100 * low, rel=1e-3)
    assert max(at_first) == pytest.approx(100 * high, rel=1e-3)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["three", "one"]
    assert "95 % interval over 1 to 3 runs" in figure.get_suptitle()


def test_a_band_of_accuracies_ends_at_0_and_100():
    runs = [{"val_accuracy": {0: value}} for value in (0.01, 0.99)]
    (band,) = curves_figure({"a": runs}, ["val_accuracy"]).axes[0].collections
    assert {y for _, y in band.get_paths()[0].vertices} <= {0, 100}


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ArgumentError, match="series="):
        curves_figure({}, ["a"])
    for metrics in (["val_loss"], []):
        with pytest.raises(ArgumentError, match=r"metrics=.*give one or more of train_loss"):
            curves_figure({"a": [{"train_loss": {0: 1.0}}]}, metrics)
