"""What an absent extra needs is one sentence with the command that installs it."""

import sys
import tomllib
from pathlib import Path

import pytest

from qsnn_plugins.data import Digits, EventDigits, digits
from qsnn_plugins.errors import DependencyError, QSNNError
from qsnn_plugins.functional import YoloGrid
from qsnn_plugins.lightning import SpikingDetector
from qsnn_plugins.models import StringNet
from qsnn_plugins.plot import save_figure, tradeoff_figure
from qsnn_plugins.plot.style import bar_styles, house_style, new_figure

EXTRAS = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


@pytest.fixture
def hide(monkeypatch):
    """Return a function after which a package and its modules cannot be imported."""

    def hide(package):
        for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
            monkeypatch.setitem(sys.modules, name, None)

    return hide


def message(error, extra):
    assert isinstance(error, QSNNError)
    text = str(error)
    assert text.endswith(f": pip install 'qsnn-plugins[{extra}]'")
    assert "\n" not in text
    return text


def test_figures_need_plot(hide):
    figure, _ = new_figure(2, 2)
    hide("matplotlib")
    for draw in (
        lambda: new_figure(2, 2),
        lambda: house_style().__enter__(),
        lambda: bar_styles(2),
        lambda: save_figure(figure, "never"),
        lambda: tradeoff_figure({"a": [(1.0, 50.0)]}),
    ):
        with pytest.raises(DependencyError) as caught:
            draw()
        assert message(caught.value, "plot").startswith("a figure needs matplotlib, which")


def test_detectors_need_detection(hide):
    hide("pycocotools")
    with pytest.raises(DependencyError) as caught:
        SpikingDetector(StringNet("4C3-GAP-FC28"), grid=YoloGrid(2, 2, 1, 2))
    said = message(caught.value, "detection")
    assert said.startswith("the mean average precision needs pycocotools, which")


def test_digits_need_demo(hide):
    hide("sklearn")
    digits._record.cache_clear()
    for data in (Digits(), EventDigits()):
        with pytest.raises(DependencyError) as caught:
            data.setup()
        assert "the digits that come with scikit-learn" in message(caught.value, "demo")


def test_all_has_every_extra_that_users_run_and_dev_has_all():
    others = {name for name in EXTRAS if not name.startswith("cuda")} - {"all", "dev", "docs"}
    (everything,) = EXTRAS["all"]
    assert set(everything.removeprefix("qsnn-plugins[").removesuffix("]").split(",")) == others
    assert "qsnn-plugins[all]" in EXTRAS["dev"]


def test_the_base_has_no_package_of_an_extra():
    base = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    for package in ("tonic", "expelliarmus", "matplotlib", "pycocotools", "scikit-learn", "aedat"):
        assert not any(line.startswith(package) for line in base["dependencies"])
