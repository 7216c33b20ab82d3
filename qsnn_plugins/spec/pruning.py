"""The pruning part of a spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qsnn_plugins.spec.checks import choice, integer, number
from qsnn_plugins.spec.options import NOT_GIVEN, Option, Part
from qsnn_plugins.spec.weight import Fidelity

__all__ = ["PruningSpec"]

Masked = Literal["accumulation", "membrane"]

_SHARE = number("a number from 0 to below 1", lambda x: 0 <= x < 1)
_SCORE = number("a number between 0 and 1, or None", lambda x: 0 < x < 1)
_OPTIONS = {
    "spatial_ratio": Option(_SHARE, 0.0),
    "block": Option(integer(1), 1, needs="spatial_ratio"),
    "channel_threshold": Option(lambda name, x: None if x is None else _SCORE(name, x)),
    "masked": Option(choice(Masked), "accumulation", needs="spatial_ratio"),
    "fidelity": Option(choice(Fidelity), "paper", needs="channel_threshold"),
}


@dataclass(frozen=True)
class PruningSpec(Part):
    """Which neurons are masked, and which channels are not computed at all (SpQuant-SNN Eq. 21-23).

    Neurons are masked by their charged membrane, before they fire. Channels are gated before their
    convolution runs, see `nn.ChannelGate`.

    Args:
        spatial_ratio: Share of the neurons of a sample that is masked in each step, from 0
            (default) to below 1; 0.35 in the paper.
        block: Side length of square blocks of neurons with a common importance; 1 by default; used
            only with a `spatial_ratio`. Above 1, layers without a map (linear ones) are refused:
            they need a spec of their own.
        channel_threshold: Output channels of a convolution with a score up to this value, between 0
            and 1, are masked; None for no gates; 0.47 in the paper, 0.5 in the released code.
        masked: What the spatial mask removes; used only with a `spatial_ratio`. "accumulation"
            (default) removes the input of this step, since the paper's text skips "the membrane
            potential accumulation": a masked membrane of 0.9 leaks to 0.45. "membrane" removes the
            whole membrane, as in Eq. 22: 0.9 becomes 0.
        fidelity: Input of a gate; used only with a `channel_threshold`. "paper": the stored
            membranes of the neurons before the convolution, with a trained predictor. "released": a
            softmax over a quarter of the convolution's input channels, with a predictor that is
            never trained.

    Raises:
        ArgumentError: If a value is not allowed, or given for an option that is not used.

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
    masked: Masked = NOT_GIVEN
    fidelity: Fidelity = NOT_GIVEN

    @property
    def prunes(self) -> bool:
        """Whether anything is masked."""
        return self.spatial_ratio > 0 or self.gates

    @property
    def gates(self) -> bool:
        """Whether channels are gated."""
        return self.channel_threshold is not None

    def __str__(self) -> str:
        """Describe the options in use in words."""
        words = []
        if self.spatial_ratio > 0:
            blocks = f" in blocks of {self.block} x {self.block}" * (self.block > 1)
            erased = " (their past too)" * (self.masked == "membrane")
            words.append(f"{self.spatial_ratio * 100:g} % of the neurons{blocks}{erased}")
        if self.gates:
            released = " by the input" * (self.fidelity == "released")
            words.append(f"channels that score up to {self.channel_threshold}{released}")
        return ", ".join(words) or "none"
