"""The pruning's part of a spec."""

from __future__ import annotations

from dataclasses import dataclass

from qsnn_plugins.errors import ArgumentError

__all__ = ["PruningSpec"]


@dataclass(frozen=True)
class PruningSpec:
    """Which membranes are masked before they are accumulated and fired (SpQuant-SNN Eq. 21-23).

    Args:
        spatial_ratio: Share of a sample's neurons that are masked at each step, from 0 to below 1;
            the paper's is 0.35.
        block: Side of the square of neurons that shares an importance.
        channel_threshold: Score between 0 and 1 up to which a channel is masked, or None for no
            masks of channels; the paper's is 0.47.
        channel_softmax: Whether the pooled channels go through a softmax before the predictor, as
            in the released code.

    Raises:
        ArgumentError: If a value is not allowed.

    Example:
        >>> PruningSpec().prunes
        False
        >>> print(PruningSpec(spatial_ratio=0.35, channel_threshold=0.47))
        35 % of the neurons, channels that score up to 0.47
    """

    spatial_ratio: float = 0.0
    block: int = 1
    channel_threshold: float | None = None
    channel_softmax: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.spatial_ratio < 1:
            allowed = "a number from 0 to below 1"
            raise ArgumentError("pruning.spatial_ratio", self.spatial_ratio, allowed)
        if not isinstance(self.block, int) or self.block < 1:
            raise ArgumentError("pruning.block", self.block, "an integer from 1")
        if self.channel_threshold is not None and not 0 < self.channel_threshold < 1:
            allowed = "a number between 0 and 1, or None"
            raise ArgumentError("pruning.channel_threshold", self.channel_threshold, allowed)

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
