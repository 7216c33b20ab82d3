"""What can be told apart in grey, short names, and figures as files."""

import itertools
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.plot import NegativeLayer, negative_figure, page, save_figure
from qsnn_plugins.plot.style import (
    bar_styles,
    columns_of,
    folded,
    house_style,
    hues,
    line_styles,
    new_figure,
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
    with pytest.raises(ArgumentError, match="series=9"):
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
    ("name", "lines"),
    [
        ("lif", ["lif"]),
        ("blocks.conv1.neuron", ["blocks.conv1.neuron"]),
        ("blocks.3.attention.q_neuron.0", ["blocks.3.attention.", "q_neuron.0"]),
        ("a_name_without_dots_at_all.b", ["a_name_without_dots_at_all.", "b"]),
    ],
)
def test_long_names_of_layers_are_whole_on_several_lines(name, lines):
    assert folded(name).split("\n") == lines


def test_a_page_gives_width_fonts_and_title():
    layers = [NegativeLayer("conv1", 0.4, 0.05)]
    with page("ieee2", title=False):
        drawn = negative_figure(layers)
    assert drawn.get_size_inches()[0] == 7.16
    assert drawn.axes[0].get_title() == ""
    assert {t.get_fontsize() for t in drawn.axes[0].get_xticklabels()} == {8}
    plain = negative_figure(layers)
    assert plain.axes[0].get_title()
    assert plain.get_size_inches()[0] <= 7
    for width in (1.9, "arxiv", 21.0):
        with pytest.raises(ArgumentError, match="width="), page(width):
            pass


@pytest.mark.parametrize("width", [2.5, "ieee", 7.0])
def test_a_legend_fits_the_column(width):
    with page(width):
        drawn = negative_figure([NegativeLayer("conv1", 0.4, 0.05)])
    (legend,) = drawn.legends
    drawn.draw_without_rendering()
    box = legend.get_window_extent()
    assert drawn.bbox.x0 <= box.x0 <= box.x1 <= drawn.bbox.x1
    assert len(legend.get_texts()) == 2


@pytest.mark.parametrize(("width", "columns"), [(None, 4), ("ieee", 2), (2.0, 1)])
def test_panels_stand_beside_each_other_where_there_is_room(width, columns):
    with page(width):
        assert columns_of(1.7, 9) == columns
        assert columns_of(1.7, 1) == 1


def deficient(colour, kind):
    """How a dichromat sees a colour (Vienot, Brettel, Mollon, 1999), in linear sRGB."""
    to_lms = np.array(
        [[17.8824, 43.5161, 4.1193], [3.4557, 27.1554, 3.8671], [0.03, 0.1843, 1.467]]
    )
    sees = {
        "protan": [[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]],
        "deutan": [[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]],
    }[kind]
    linear = np.array(
        [c / 12.92 if c < 0.04 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    )
    return np.linalg.inv(to_lms) @ np.array(sees) @ to_lms @ linear


@pytest.mark.parametrize("kind", ["protan", "deutan"])
def test_the_pair_differs_for_dichromats(kind):
    before, after = (deficient(colour, kind) for colour in hues(2))
    red, green = (deficient(colour, kind) for colour in ("#c03030", "#507810"))
    assert abs(before - after).max() > 0.2
    assert abs(red - green).max() < 0.1, "the check can fail"


def figure():
    return negative_figure([NegativeLayer("conv1", 0.4, 0.05), NegativeLayer("conv2", 0.3, 0.1)])


def test_the_files_are_what_their_names_say(tmp_path):
    png, svg, pdf = save_figure(figure(), tmp_path / "new" / "v1.0")
    assert [png.name, svg.name, pdf.name] == ["v1.0.png", "v1.0.svg", "v1.0.pdf"]
    assert pdf.read_bytes().startswith(b"%PDF")
    with Image.open(png) as image:
        assert (image.format, "Software" in image.info) == ("PNG", False)
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")
    assert sorted(p.name for p in png.parent.iterdir()) == [
        "v1.0.pdf",
        "v1.0.png",
        "v1.0.svg",
    ]


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_a_suffix_chooses_the_form(form, tmp_path):
    assert save_figure(figure(), tmp_path / f"a.{form}") == [tmp_path / f"a.{form}"]
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{form}"]


def test_a_place_that_takes_no_figure_is_one_sentence(tmp_path, monkeypatch):
    assert [path.name for path in save_figure(figure(), tmp_path / "a.PNG")] == ["a.PNG"]
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ArgumentError, match="give a path that can be written"):
        save_figure(figure(), tmp_path / "b" / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["a.PNG"]


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
