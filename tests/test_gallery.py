"""The gallery has a picture of each figure, with the command that drew it."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from qsnn_plugins.cli.plot import FIGURES

GALLERY = Path(__file__).parents[1] / "docs" / "gallery"
PAGE = (GALLERY / "README.md").read_text()


@pytest.mark.parametrize("figure", FIGURES)
def test_each_figure_is_shown_with_its_command(figure):
    (section,) = re.findall(
        rf"^## [^\n]+\n+!\[[^\]]+\]\({figure}\.png\).*?(?=^## |\Z)", PAGE, re.M | re.S
    )
    assert f"qsnn plot {figure} " in section
    assert f"--out docs/gallery/{figure}" in section
    assert f"({figure}.svg)" in section
    with Image.open(GALLERY / f"{figure}.png") as image:
        assert min(image.size) > 300
    words = "".join(ElementTree.parse(GALLERY / f"{figure}.svg").getroot().itertext())
    assert "CDATA" not in words


def test_nothing_else_is_there():
    pictures = {f"{figure}.{form}" for figure in FIGURES for form in ("png", "svg")}
    there = {path.name for path in GALLERY.iterdir() if path.suffix != ".pdf"}
    assert there == pictures | {"README.md"}
