"""How active a network is: firing rates, active inputs, masked neurons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import Sparsity

__all__ = ["Activity"]


@dataclass(frozen=True)
class Activity:
    """Shares from 0 to 1 of what is active in a network, by the names of its layers.

    Args:
        source: Where the shares come from, in words.
        rates: Neurons and steps that fire, of each layer of neurons.
        inputs: Inputs that are not zero, of each layer with weights; where a layer is missing, the
            mean rate of the neurons that it takes.
        sparsity: What pruning masks, of each layer of neurons.

    Example:
        >>> Activity.given(0.1).rate("any layer")
        0.1
    """

    source: str
    rates: Mapping[str, float] = field(default_factory=dict)
    inputs: Mapping[str, float] = field(default_factory=dict)
    sparsity: Mapping[str, Sparsity] = field(default_factory=dict)
    same_rate: float | None = None
    same_sparsity: Sparsity | None = None

    @classmethod
    def given(
        cls, rate: float, spatial: float | None = None, channel: float | None = None
    ) -> Activity:
        """State one firing rate for all neurons and, where they are pruned, what is masked.

        Args:
            rate: Share of neurons and steps that fire.
            spatial: S_p, share of neurons that spatial masks take, or None for unknown.
            channel: S_c, share of channels that channel masks take, or None for unknown.

        Raises:
            ArgumentError: If a share is not from 0 to 1.

        Example:
            >>> Activity.given(0.1, spatial=0.35, channel=0.5).source
            'given: 0.1 for every neuron, 0.35 of the neurons and 0.5 of the channels masked'
        """
        for name, share in (("rate", rate), ("spatial", spatial), ("channel", channel)):
            if share is not None and not 0 <= share <= 1:
                raise ArgumentError(name, share, "a number from 0 to 1")
        source = f"given: {rate:g} for every neuron"
        if spatial is None and channel is None:
            return cls(source, same_rate=rate)
        spatial, channel = spatial or 0.0, channel or 0.0
        source += f", {spatial:g} of the neurons and {channel:g} of the channels masked"
        masked = Sparsity(spatial, channel, 1 - (1 - spatial) * (1 - channel))
        return cls(source, same_rate=rate, same_sparsity=masked)

    def rate(self, neuron: str) -> float | None:
        """Return the firing rate of a layer of neurons; None where it is not known."""
        return self.rates.get(neuron, self.same_rate)

    def masked(self, neuron: str) -> Sparsity | None:
        """Return what pruning masks in a layer of neurons; None where it is not known."""
        return self.sparsity.get(neuron, self.same_sparsity)
