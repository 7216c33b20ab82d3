"""Texts beside points and boxes, each where it covers the others least."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Label", "place_labels"]

# where a text may begin: to the right above, and so on around its point
_SIDES = ((1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0))
_AHEAD = {1: "left", 0: "center", -1: "right"}
_ABOVE = {1: "bottom", 0: "center", -1: "top"}
_OUTSIDE = 4.0  # how much worse than another text the edge of the axes is


class Label(NamedTuple):
    """A text and the places at which it may stand.

    Args:
        text: The text.
        places: Points in the coordinates of the data, the best first, each with its gaps to the
            right and upwards in points; the text stands on that side of it.
        style: Arguments of `Axes.annotate`.
    """

    text: str
    places: Sequence[tuple[tuple[float, float], tuple[float, float]]]
    style: dict[str, Any]

    @classmethod
    def around(cls, text: str, point: tuple[float, float], gap: float, **style: Any) -> Label:
        """A text on any side of a point.

        Example:
            >>> len(Label.around("4 bits", (0.0, 0.0), 5.0).places)
            8
        """
        return cls(text, [(point, (gap * x, gap * y)) for x, y in _SIDES], style)


def place_labels(
    figure: Figure, axes: Any, labels: Iterable[Label], points: Iterable[tuple[float, float]] = ()
) -> None:
    """Write each text at the place where it covers others, points and edges least.

    Args:
        figure: The figure, complete but for the texts.
        axes: Axes of it.
        labels: The texts; those that come first choose first.
        points: Points in the coordinates of the data that no text should cover.

    Example:
        >>> from qsnn_plugins.plot.style import new_figure
        >>> figure, axes = new_figure(3, 2)
        >>> place_labels(figure, axes[0, 0], [Label.around("a", (0.5, 0.5), 4.0)])
        >>> axes[0, 0].texts[0].get_ha()
        'left'
    """
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    size = figure.dpi / 72
    taken = [
        Bbox.from_bounds(x - 3 * size, y - 3 * size, 6 * size, 6 * size)
        for x, y in axes.transData.transform([*points] or [(float("nan"),) * 2])
    ]
    for label in labels:
        best: tuple[float, Any, Any] | None = None
        for point, (right, up) in label.places:
            text = axes.annotate(
                label.text,
                point,
                (right, up),
                textcoords="offset points",
                ha=_AHEAD[(right > 0) - (right < 0)],
                va=_ABOVE[(up > 0) - (up < 0)],
                annotation_clip=False,
                **label.style,
            )
            box = text.get_window_extent().padded(size)
            cost = sum(_common(box, other) for other in taken)
            cost += _OUTSIDE * (box.width * box.height - _common(box, axes.bbox))
            if best is None or cost < best[0] - 1e-6:
                if best:
                    best[1].remove()
                best = cost, text, box
            else:
                text.remove()
        if best:
            best[1].set_in_layout(False)
            taken.append(best[2])


def _common(one: Any, other: Any) -> float:
    """Area that two boxes share."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(width, 0.0) * max(height, 0.0)
