"""One scene of an event camera with its true boxes, and what detectors find in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import Detections
from qsnn_plugins.plot.labels import Label, place_labels
from qsnn_plugins.plot.style import house_style, new_figure, set_legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Scene", "boxes_figure"]

_EVENTS = ("#9ec5ee", "white", "#f2a7a0")  # darker, nothing or both, brighter
_TRUE = {"edgecolor": "black", "linewidth": 1.2}
_FOUND = {"edgecolor": "#b34700", "linewidth": 1.6, "linestyle": "--"}
_WIDTH = 3.6  # inches per panel


class Scene(NamedTuple):
    """The last frame that a detector sees, and the true boxes.

    Args:
        frame: Events of the last step, OFF and ON, shape [2, H, W].
        boxes: True boxes (left, top, right, bottom) in pixels, shape [M, 4].
        labels: Their classes, int64 [M].
        class_names: Names of the classes.

    Example:
        >>> import torch
        >>> nothing = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
        >>> Scene(torch.zeros(2, 48, 64), *nothing, ("car",)).boxes.shape
        torch.Size([0, 4])
    """

    frame: Tensor
    boxes: Tensor
    labels: Tensor
    class_names: Sequence[str]


@house_style()
def boxes_figure(scene: Scene, found: Mapping[str, Detections], min_score: float = 0.5) -> Figure:
    """Draw what several detectors find in one scene, with one panel per detector.

    True boxes are solid, found ones dashed, with their class and score, which stand where they
    cover each other least.

    Args:
        scene: The scene.
        found: What each detector finds there, boxes in pixels, by what the detector is called.
        min_score: Boxes from this score on are drawn.

    Raises:
        ArgumentError: If there is no detector, or `min_score` is not between 0 and 1.

    Example:
        >>> import torch
        >>> box, car = torch.tensor([[8.0, 8.0, 24.0, 16.0]]), torch.tensor([0])
        >>> scene = Scene(torch.zeros(2, 48, 64), box, car, ("car", "pedestrian"))
        >>> figure = boxes_figure(scene, {"float": Detections(box, torch.tensor([0.9]), car)})
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['car 0.90']
    """
    if not found:
        raise ArgumentError("found", dict(found), "what one detector or more finds")
    if not 0 <= min_score <= 1:
        raise ArgumentError("min_score", min_score, "a number from 0 to 1")
    height, width = scene.frame.shape[-2:]
    figure, axes = new_figure(
        _WIDTH * len(found), _WIDTH * height / width + 0.7, columns=len(found)
    )
    for panel, (label, detections) in zip(axes[0], found.items(), strict=True):
        _draw_events(panel, scene.frame)
        for box in scene.boxes:
            _draw_box(panel, box, _TRUE)
        for box, score, _ in zip(*detections, strict=True):
            if score >= min_score:
                _draw_box(panel, box, _FOUND)
        panel.set_title(label)
    handles = [_draw_box(axes[0, 0], [0.0] * 4, style) for style in (_TRUE, _FOUND)]
    set_legend(figure, 2, handles, ["true", "found"])
    for panel, detections in zip(axes[0], found.values(), strict=True):
        chosen = [part for part in zip(*detections, strict=True) if part[1] >= min_score]
        # the surest first: its name has the best place
        chosen.sort(key=lambda part: -float(part[1]))
        place_labels(figure, panel, [_name(scene, *part) for part in chosen])
    return figure


def _name(scene: Scene, box: Any, score: Any, kind: Any) -> Label:
    """The class and score of a box, at one of its corners."""
    left, top, right, bottom = (float(edge) - 0.5 for edge in box)
    near, far = 1.0, 0.01  # points; the sign says on which side of a corner the name stands
    places = [
        ((left, top), (far, near)), ((right, top), (-far, near)),
        ((left, bottom), (far, -near)), ((right, bottom), (-far, -near)),
        ((left, top), (far, -near)), ((right, bottom), (-far, near)),
        ((right, top), (near, -far)), ((left, top), (-near, -far)),
    ]  # fmt: skip
    style = {
        "color": _FOUND["edgecolor"], "fontsize": "small", "zorder": 0.5,  # boxes above it
        "bbox": {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
    }  # fmt: skip
    return Label(f"{scene.class_names[int(kind)]} {float(score):.2f}", places, style)


def _draw_events(panel: Any, frame: Tensor) -> None:
    from matplotlib.colors import ListedColormap

    off, on = frame.cpu().double().numpy()
    panel.imshow(np.sign(on - off), cmap=ListedColormap(_EVENTS), vmin=-1, vmax=1)
    panel.set_xticks([])
    panel.set_yticks([])
    panel.spines[:].set_visible(True)


def _draw_box(panel: Any, box: Any, style: dict[str, Any]) -> Any:
    from matplotlib.patches import Rectangle

    # pixel 0 reaches from -0.5 to 0.5 on the axes, from 0 to 1 in the box
    left, top, right, bottom = (float(edge) - 0.5 for edge in box)
    return panel.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, **style))
