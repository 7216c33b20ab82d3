"""How every figure looks, and how it becomes a file: lines and bars that differ in grey too."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.extras import import_extra
from qsnn_plugins.files import atomic_write, checked_path, writable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "FORMS",
    "WIDTHS",
    "bar_styles",
    "columns_of",
    "figure_files",
    "folded",
    "house_style",
    "hues",
    "layer_ticks",
    "line_styles",
    "new_figure",
    "page",
    "save_figure",
    "set_legend",
    "set_title",
    "start_at_zero",
]

WIDTHS = {
    "ieee": 3.5, "ieee2": 7.16, "acm": 3.33, "acm2": 7.0, "icml": 3.25, "icml2": 6.75,
    "cvpr": 3.25, "cvpr2": 6.875, "neurips": 5.5, "lncs": 4.8, "nature": 3.5, "nature2": 7.2,
}  # fmt: skip
"""Widths in inches of one column, and with a 2 of two, by venue."""

_DOTS_PER_INCH = 160
# neither a date nor a version: a file changes where its picture does
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
FORMS = tuple(_METADATA)
_OTHER_FORMS = ("jpg", "jpeg", "eps", "ps", "gif", "tif", "tiff", "webp", "pgf", "svgz")
# what the site shows without scaling text below 8 pixels
_WIDEST = 7.0
_PRINTED = {"font.size": 8, "lines.markersize": 4, "lines.linewidth": 1.2}

# Okabe and Ito (2008), Color Universal Design; yellow is a darker one, to be seen on white
_HUES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#B8A800")
_MARKERS = "osD^vXP*"
_DASHES = ("-", "--", ":", "-.")
_HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++", "----", "oooo")
_SETTINGS = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.88",
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "lines.markersize": 5,
    # dark text on white: a figure without a background is not readable on a dark page
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # fonts as outlines that editors and publishers take
    "pdf.fonttype": 42,
    # the same figure gives the same bytes
    "svg.hashsalt": "qsnn_plugins",
}


class _Page(NamedTuple):
    """What `page` says."""

    width: float | None = None
    title: bool = True


_PLAIN = _Page()
_PAGE: ContextVar[_Page] = ContextVar("page", default=_PLAIN)


@contextmanager
def page(width: str | float | None = None, title: bool = True) -> Iterator[None]:
    """Draw the figures of a `with` block for a column of a paper, or without their titles.

    A figure for a column has its width, and fonts of 8 points: it is included as it is, at the
    scale 1.

    Args:
        width: Inches, or a name of `WIDTHS`, such as "ieee" for one column and "ieee2" for two;
            None is the width that suits the figure, up to 7 inches.
        title: Whether figures have a title; a caption says it in a paper.

    Raises:
        ArgumentError: If there is no such name, or the width is not from 2 to 20 inches.

    Example:
        >>> with page("ieee", title=False):
        ...     figure, _ = new_figure(14, 4)
        >>> [float(size) for size in figure.get_size_inches()]
        [3.5, 2.0]
    """
    token = _PAGE.set(_Page(_inches(width), title))
    try:
        yield
    finally:
        _PAGE.reset(token)


def _inches(width: str | float | None) -> float | None:
    try:
        if width is None:
            return None
        inches = WIDTHS[width] if width in WIDTHS else float(width)
        if 2 <= inches <= 20:
            return inches
    except ValueError:
        pass
    allowed = f"inches from 2 to 20, or one of {', '.join(WIDTHS)}"
    raise ArgumentError("width", width, allowed)


def import_matplotlib(module: str = "matplotlib") -> Any:
    """Import matplotlib or a module of it, which the extra "plot" brings.

    Raises:
        DependencyError: If it is not installed.

    Example:
        >>> import_matplotlib("matplotlib.figure").__name__
        'matplotlib.figure'
    """
    return import_extra(module, "plot", "a figure")


@contextmanager
def house_style() -> Iterator[None]:
    """Set matplotlib's defaults and this package's settings for a while.

    Example:
        >>> from matplotlib import rcParams
        >>> with house_style():
        ...     rcParams["svg.hashsalt"]
        'qsnn_plugins'
    """
    settings = _SETTINGS | (_PRINTED if _PAGE.get().width else {})
    with import_matplotlib("matplotlib.style").context(["default", settings]):
        yield


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    """Make a figure in the style of this package; no window and no global state comes with it.

    Args:
        width: In inches, without `page`; no figure is wider than 7 inches then.
        height: In inches; another width scales it.
        rows: Rows of axes.
        columns: Columns of axes.

    Returns:
        The figure and its axes, an array [rows, columns].

    Example:
        >>> figure, axes = new_figure(4, 3)
        >>> axes.shape
        (1, 1)
    """
    module = import_matplotlib("matplotlib.figure")
    wide = _PAGE.get().width or min(width, _WIDEST)
    # what is written around a plot does not shrink with it
    height *= min(1.0, sqrt(wide / width)) if _PAGE.get().width else 1
    figure = module.Figure(figsize=(wide, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def columns_of(panel: float, count: int) -> int:
    """How many panels of a width in inches stand beside each other, of `count` in all.

    Example:
        >>> columns_of(1.7, 9)
        4
    """
    return max(1, min(count, int((_PAGE.get().width or _WIDEST) / panel)))


def set_title(place: Any, title: str) -> None:
    """Give axes or a figure a title, unless `page` says that there is none.

    Example:
        >>> with page(title=False):
        ...     figure, axes = new_figure(4, 3)
        ...     set_title(axes[0, 0], "Membranes")
        >>> axes[0, 0].get_title()
        ''
    """
    if _PAGE.get().title:
        if hasattr(place, "suptitle"):
            place.suptitle(title, fontsize="large")
        else:
            place.set_title(title)


def folded(name: str, longest: int = 23) -> str:
    """Break the full name of a layer at its dots into lines of some length.

    Example:
        >>> folded("blocks.3.attention.q_neuron.0").split(chr(10))
        ['blocks.3.attention.', 'q_neuron.0']
    """
    lines = [""]
    for part in re.findall(r"[^.]*\.?", name):
        if lines[-1] and len(lines[-1] + part) > longest:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def layer_ticks(axes: Any, names: list[str]) -> None:
    """Write the full names of layers below an axis, on a slant.

    Example:
        >>> _, axes = new_figure(4, 3)
        >>> layer_ticks(axes[0, 0], ["blocks.conv1.neuron"])
        >>> [label.get_text() for label in axes[0, 0].get_xticklabels()]
        ['blocks.conv1.neuron']
    """
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")


def set_legend(
    figure: Figure, most: int, handles: Any = None, labels: Any = None, side: str = "lower"
) -> None:
    """Put the legend below or above all axes, in as many columns as there is room for.

    Args:
        figure: The figure.
        most: Columns at the most.
        handles: What the legend shows; None for what the first axes have with a label.
        labels: What each is called.
        side: "lower" or "upper".

    Example:
        >>> figure, axes = new_figure(4, 3)
        >>> _ = axes[0, 0].plot([1], [1], label="float")
        >>> set_legend(figure, 3)
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['float']
    """
    if handles is None:
        handles, labels = figure.axes[0].get_legend_handles_labels()
    for columns in range(min(most, len(labels)), 0, -1):
        place: Any = f"outside {side} center"
        legend = figure.legend(handles, labels, loc=place, ncols=columns)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def hues(count: int) -> list[str]:
    """Colours of things without an order, from the palette of Okabe and Ito.

    Protanopes, deuteranopes and tritanopes tell them apart; black is left to what is float.

    Args:
        count: Colours, up to 7.

    Raises:
        ArgumentError: If there are more than that.

    Example:
        >>> hues(2)
        ['#0072B2', '#D55E00']
    """
    if count > len(_HUES):
        raise ArgumentError("series", count, _most(_HUES))
    return list(_HUES[:count])


def line_styles(count: int) -> list[dict[str, Any]]:
    """Give styles of lines that differ in marker and lightness, and neighbours in dashes too.

    Args:
        count: Lines, up to 8.

    Returns:
        Arguments of `Axes.plot`.

    Raises:
        ArgumentError: If there are more lines than styles.

    Example:
        >>> [style["marker"] for style in line_styles(3)]
        ['o', 's', 'D']
    """
    return [
        {"color": shade, "marker": _MARKERS[i], "linestyle": _DASHES[i % len(_DASHES)]}
        for i, shade in enumerate(_shades(count, lightest=0.75))
    ]


def bar_styles(count: int) -> list[dict[str, Any]]:
    """Give styles of bars that differ in hatch and lightness.

    Args:
        count: Kinds of bars, up to 8.

    Returns:
        Arguments of `Axes.bar`.

    Raises:
        ArgumentError: If there are more kinds than styles.

    Example:
        >>> [style["hatch"] for style in bar_styles(2)]
        ['', '////']
    """
    return [
        {"facecolor": shade, "hatch": _HATCHES[i], "edgecolor": "black", "linewidth": 0.6}
        for i, shade in enumerate(_shades(count, lightest=0.9))
    ]


def start_at_zero(axes: Any) -> None:
    """Let the vertical axis begin at 0, and end above all that is drawn; no marker is cut.

    Args:
        axes: Axes with lines of shares.

    Example:
        >>> _, axes = new_figure(4, 3)
        >>> _ = axes[0, 0].plot([1, 2], [20, 21])
        >>> start_at_zero(axes[0, 0])
        >>> float(axes[0, 0].get_ylim()[0])
        0.0
    """
    highest = max(float(axes.dataLim.y1), 0.0)
    axes.set_ylim(0, 1.08 * highest or 1)
    for line in axes.lines:
        line.set_clip_on(False)


def save_figure(figure: Figure, path: str | Path) -> list[Path]:
    """Save a figure as PNG, SVG and PDF; a file appears only when it is complete.

    The same figure gives the same bytes.

    Args:
        figure: The figure.
        path: With the suffix .png, .svg or .pdf that form alone, else all three; its folder is
            made where it is not there.

    Returns:
        The files.

    Raises:
        ArgumentError: If the path is no place for a file, or has the suffix of another form.

    Example:
        >>> from tempfile import mkdtemp
        >>> figure, _ = new_figure(2, 2)
        >>> [path.name for path in save_figure(figure, Path(mkdtemp(), "empty"))]
        ['empty.png', 'empty.svg', 'empty.pdf']
    """
    files = figure_files(path)
    with writable("path", path):
        files[0].parent.mkdir(parents=True, exist_ok=True)
    for file in files:
        form = file.suffix.lower().removeprefix(".")
        with house_style(), atomic_write(file) as stream:
            figure.savefig(stream, format=form, dpi=_DOTS_PER_INCH, metadata=_METADATA[form])
    return files


def figure_files(path: str | Path) -> list[Path]:
    """Return the files that `save_figure` writes for a path, before anything is drawn.

    Raises:
        ArgumentError: See `save_figure`.

    Example:
        >>> [file.name for file in figure_files("rates.pdf")]
        ['rates.pdf']
    """
    file = checked_path("path", path)
    form = file.suffix.lower().removeprefix(".")
    if form in _OTHER_FORMS:
        raise ArgumentError("path", str(path), f"one of .{', .'.join(FORMS)}, or no suffix")
    if file.is_dir() or not file.name:
        raise ArgumentError("path", str(path), "the name of a file, not a folder")
    folder = next(above for above in file.absolute().parents if above.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ArgumentError("path", str(path), "a path that can be written")
    return [file] if form in FORMS else [file.with_name(f"{file.name}.{f}") for f in FORMS]


def _most(looks: Sequence[Any]) -> str:
    return f"at most {len(looks)}, as more cannot be told apart: choose fewer rows or files"


def _shades(count: int, lightest: float) -> list[Any]:
    """Colours whose lightness rises from the first to the last."""
    if count > len(_MARKERS):
        raise ArgumentError("series", count, _most(_MARKERS))
    cividis = import_matplotlib().colormaps["cividis"]
    return [cividis(lightest * i / max(count - 1, 1)) for i in range(count)]
