from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from qsnn_plugins.plot import negative_figure, save_figure
from qsnn_plugins.plot.negative import NegativeLayer


def figure():
    return negative_figure([NegativeLayer("conv1", 0.4, 0.05), NegativeLayer("conv2", 0.3, 0.1)])


def test_both_files_are_what_their_names_say(tmp_path):
    png, svg = save_figure(figure(), tmp_path / "new" / "v1.0")
    assert [png.name, svg.name] == ["v1.0.png", "v1.0.svg"]
    with Image.open(png) as image:
        assert (image.format, "Software" in image.info) == ("PNG", False)
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")
    assert sorted(p.name for p in png.parent.iterdir()) == ["v1.0.png", "v1.0.svg"]


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    first = save_figure(figure(), tmp_path / "a")
    second = save_figure(figure(), tmp_path / "b")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert b"<dc:date>" not in first[1].read_bytes()


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"old")
    drawn = figure()

    def fail(file, **options):
        Path(file).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(drawn, "savefig", fail)
    with pytest.raises(OSError, match="no space left"):
        save_figure(drawn, tmp_path / "a")
    assert (tmp_path / "a.png").read_bytes() == b"old"
