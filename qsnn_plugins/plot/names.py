"""Names of layers, as short as they can be told apart."""

from __future__ import annotations

__all__ = ["short_names"]


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
