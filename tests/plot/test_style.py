"""What can be told apart in grey, short names, and figures as files."""

import itertools
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.plot import NegativeLayer, negative_figure, save_figure
from qsnn_plugins.plot.style import (
    bar_styles,
    house_style,
    line_styles,
    new_figure,
    short_names,
    start_at_zero,
)


def lightness(colour):
    """Relative luminance of sRGB (IEC 61966-2-1)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)) ** (1 / 2.4)


@pytest.mark.parametrize("count", range(1, 9))
def test_lines_and_bars_differ_without_colour(count):
    lines, bars = line_styles(count), bar_styles(count)
    assert len({line["marker"] for line in lines}) == count
    assert len({bar["hatch"] for bar in bars}) == count
    for one, next_one in itertools.pairwise(lines):
        assert one["linestyle"] != next_one["linestyle"]
    for shades in ([line["color"] for line in lines], [bar["facecolor"] for bar in bars]):
        steps = [b - a for a, b in itertools.pairwise(map(lightness, shades))]
        assert all(step > 0.04 for step in steps)
    assert all(lightness(line["color"]) < 0.8 for line in lines), "lines stand out from white"


@pytest.mark.parametrize("styles", [line_styles, bar_styles])
def test_more_than_can_be_told_apart_is_refused(styles):
    with pytest.raises(ArgumentError, match="count=9"):
        styles(9)


def test_the_users_own_style_does_not_show_and_comes_back():
    with matplotlib.rc_context({"font.size": 33}):
        with house_style():
            assert matplotlib.rcParams["font.size"] == 9
        assert matplotlib.rcParams["font.size"] == 33


@pytest.mark.parametrize(
    ("heights", "top"), [([20.0, 25.0], 27), ([float("nan"), 5.0], 5.4), ([0.0, 0.0], 1)]
)
def test_shares_begin_at_zero_and_stay_within(heights, top):
    _, axes = new_figure(3, 2)
    axes[0, 0].plot([0, 1], heights)
    start_at_zero(axes[0, 0])
    assert axes[0, 0].get_ylim() == pytest.approx((0, top))


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["a.conv1.lif", "a.conv2.lif"], ["conv1", "conv2"]),
        (["a.b.0", "a.c.0.d"], ["b.0", "c.0.d"]),
        (["lif", "lif2"], ["lif", "lif2"]),
        (["a.lif", "a.lif.x"], ["lif", "lif.x"]),
        (["only.one"], ["only.one"]),
        ([], []),
    ],
)
def test_names_lose_what_they_share(names, short):
    assert short_names(names) == short


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
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(drawn, "savefig", fail)
    with pytest.raises(OSError, match="no space left"):
        save_figure(drawn, tmp_path / "a")
    assert (tmp_path / "a.png").read_bytes() == b"old"
