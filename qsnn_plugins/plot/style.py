"""How every figure looks, and how it becomes a file: lines and bars that differ in grey too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.extras import import_extra
from qsnn_plugins.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "bar_styles",
    "house_style",
    "line_styles",
    "new_figure",
    "save_figure",
    "short_names",
    "start_at_zero",
]

_DOTS_PER_INCH = 160
# neither a date nor a version: a file changes where its picture does
_METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}

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
    # the same figure gives the same bytes
    "svg.hashsalt": "qsnn_plugins",
}


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
    with import_matplotlib("matplotlib.style").context(["default", _SETTINGS]):
        yield


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    """Make a figure in the style of this package; no window and no global state comes with it.

    Args:
        width: In inches.
        height: In inches.
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
    figure = module.Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


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


def short_names(names: list[str]) -> list[str]:
    """Leave out the dotted parts with which all names begin, and those with which all end.

    Args:
        names: Names of layers; a single one is kept whole.

    Example:
        >>> short_names(["blocks.conv1.neuron", "blocks.conv2.neuron"])
        ['conv1', 'conv2']
    """
    parts = [name.split(".") for name in names]
    if len(parts) < 2:
        return names
    while all(len(p) > 1 for p in parts) and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    while all(len(p) > 1 for p in parts) and len({p[-1] for p in parts}) == 1:
        parts = [p[:-1] for p in parts]
    return [".".join(p) for p in parts]


def save_figure(figure: Figure, stem: str | Path) -> list[Path]:
    """Save a figure as PNG and SVG, each of which is there when it is whole.

    The same figure gives the same bytes.

    Args:
        figure: The figure.
        stem: Path without the suffix; its folder is made where it is not there.

    Returns:
        The two files.

    Example:
        >>> from tempfile import mkdtemp
        >>> figure, _ = new_figure(2, 2)
        >>> [path.name for path in save_figure(figure, Path(mkdtemp(), "empty"))]
        ['empty.png', 'empty.svg']
    """
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    files = []
    for form, metadata in _METADATA.items():
        file = stem.with_name(f"{stem.name}.{form}")
        with house_style(), atomic_write(file) as stream:
            figure.savefig(stream, format=form, dpi=_DOTS_PER_INCH, metadata=metadata)
        files.append(file)
    return files


def _shades(count: int, lightest: float) -> list[Any]:
    """Colours whose lightness rises from the first to the last."""
    if count > len(_MARKERS):
        raise ArgumentError("count", count, f"at most {len(_MARKERS)}: more cannot be told apart")
    cividis = import_matplotlib().colormaps["cividis"]
    return [cividis(lightest * i / max(count - 1, 1)) for i in range(count)]
