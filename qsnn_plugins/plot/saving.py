"""Figures as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qsnn_plugins.files import atomic_write
from qsnn_plugins.plot.style import house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["save_figure"]

_DOTS_PER_INCH = 160
# neither a date nor a version: a file changes where its picture does
_METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


def save_figure(figure: Figure, stem: str | Path) -> list[Path]:
    """Save a figure as PNG and SVG; each file is there when it is whole.

    The same figure gives the same bytes.

    Args:
        figure: The figure.
        stem: Path without the suffix; its folder is made where it is not there.

    Returns:
        The two files.

    Example:
        >>> from tempfile import mkdtemp
        >>> from qsnn_plugins.plot.style import new_figure
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
