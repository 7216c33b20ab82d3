"""The pruning's part of a spec."""

from __future__ import annotations

from dataclasses import dataclass

from qsnn_plugins.spec.checks import boolean, integer, number
from qsnn_plugins.spec.options import NOT_GIVEN, Option, Part

__all__ = ["PruningSpec"]

_SHARE = number("a number from 0 to below 1", lambda x: 0 <= x < 1)
_SCORE = number("a number between 0 and 1, or None", lambda x: 0 < x < 1)
_OPTIONS = {
    "spatial_ratio": Option(_SHARE, 0.0),
    "block": Option(integer(1), 1, needs="spatial_ratio"),
    "channel_threshold": Option(lambda name, x: None if x is None else _SCORE(name, x)),
    "channel_softmax": Option(boolean, False, needs="channel_threshold"),
}


@dataclass(frozen=True)
class PruningSpec(Part):
    """Which membranes are masked before they are accumulated and fired (SpQuant-SNN Eq. 21-23).

    Args:
        spatial_ratio: Share of a sample's neurons that are masked at each step, from 0, the
            default, to below 1; the paper's is 0.35.
        block: Side of the square of neurons that shares an importance; 1 by default, and read
            with a `spatial_ratio` alone.
        channel_threshold: Score between 0 and 1 up to which a channel is masked, or None for no
            masks of channels; the paper's is 0.47.
        channel_softmax: Whether the pooled channels go through a softmax before the predictor, as
            in the released code; read with a `channel_threshold` alone.

    Raises:
        ArgumentError: If a value is not allowed, or given for an option that is not read.

    Example:
        >>> PruningSpec().prunes
        False
        >>> print(PruningSpec(spatial_ratio=0.35, channel_threshold=0.47))
        35 % of the neurons, channels that score up to 0.47
    """

    _part, _options = "pruning", _OPTIONS

    spatial_ratio: float = NOT_GIVEN
    block: int = NOT_GIVEN
    channel_threshold: float | None = NOT_GIVEN
    channel_softmax: bool = NOT_GIVEN

    @property
    def prunes(self) -> bool:
        """Whether anything is masked."""
        return self.spatial_ratio > 0 or self.channel_threshold is not None

    def __str__(self) -> str:
        """Say in words what applies."""
        words = []
        if self.spatial_ratio > 0:
            blocks = f" in blocks of {self.block} x {self.block}" * (self.block > 1)
            words.append(f"{self.spatial_ratio * 100:g} % of the neurons{blocks}")
        if self.channel_threshold is not None:
            softmax = " after a softmax" * self.channel_softmax
            words.append(f"channels that score up to {self.channel_threshold}{softmax}")
        return ", ".join(words) or "none"
