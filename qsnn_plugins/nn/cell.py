"""The step of a neuron: charge, mask, fire, reset and store.

    charge   h[t] = charge(x[t], q[t-1])          the host's way of writing the leak
    mask     h[t] ← mask(h[t], charge(0, q[t-1]))  where the spec masks neurons
    fire     s[t] = fire(h[t] - V_th)             decided by the membrane before it is quantized
    reset    r[t] = hard or soft reset of h[t]    now, or in the next step
    store    q[t] = store(r[t])                   the only thing that lives from step to step

Each equation is a function of `qsnn_plugins.functional`; hosts and operators supply the parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from qsnn_plugins.functional.late_reset import keep_comparison
from qsnn_plugins.functional.neuron import reset
from qsnn_plugins.functional.threshold import distance, finite
from qsnn_plugins.nn.spike import Spike
from qsnn_plugins.spec import QuantSpec

__all__ = ["Cell", "ResetTime"]

ResetTime = Literal["now", "before_charge", "after_charge", "never"]


@dataclass
class Cell:
    """One neuron, with everything that does not change from step to step.

    A reset in the next step knows the spike only from the stored membrane. A quantized membrane is
    therefore kept on its side of the threshold (`functional.keep_comparison`).

    Args:
        spec: How the neuron is quantized; of its membrane part only whether it is a float.
        threshold: V_th, a number or a tensor that broadcasts to [N, ...], of the dtype of x; an
            infinite one never fires.
        charge: Maps x and q, each [N, ...], to the charged membrane h.
        fire: Maps h - V_th to spikes; an `nn.Spike` also gets V_th, in steps of which it counts.
        store: Maps the membrane after the reset to the stored membrane.
        mask: Maps h, and the value of a masked membrane, to the masked h; or None.
        v_reset: Membrane after a spike, or None for the soft reset.
        reset_time: When the spike of step t resets: "now" resets h[t]; "before_charge" resets the
            stored membrane in step t + 1, "after_charge" the charged one; or "never".
        detach_reset: Whether no gradient flows through the reset.

    Example:
        >>> from qsnn_plugins.functional import lif_charge, nearest_level
        >>> cell = Cell(QuantSpec(), 1.0, lif_charge, Spike(), nearest_level)
        >>> cell.step(torch.tensor([0.75, 1.5]), torch.zeros(2))
        (tensor([0., 1.]), tensor([1., 0.]))
    """

    spec: QuantSpec
    threshold: Tensor | float
    charge: Callable[[Tensor, Tensor], Tensor]
    fire: Callable[..., Tensor]
    store: Callable[[Tensor], Tensor]
    mask: Callable[[Tensor, Tensor | float], Tensor] | None = None
    v_reset: float | None = 0.0
    reset_time: ResetTime = "now"
    detach_reset: bool = False

    def __post_init__(self) -> None:
        learning = self.spec.threshold
        is_separate = learning.gradient == "separate"
        self._path: tuple = (learning.gradient, learning.window)[: 1 + is_separate]
        self._step = self.threshold
        if learning.gradient != "ordinary" and isinstance(self.threshold, Tensor):
            # a fixed threshold has no gradient, and the separate path is the whole of it
            self._step = self.threshold.detach()
        # no spike is multiplied by an infinite threshold
        self._height = finite(self._step, instead=0.0)
        is_late = self.reset_time in ("before_charge", "after_charge")
        self._keeps_comparison = is_late and self.spec.membrane.kind != "float"

    def step(self, x: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return the spikes and the stored membrane of one step, each [N, ...] like x and q."""
        h = self._charge(x, q)
        if self.mask is not None:
            skips = self.spec.pruning.masked == "accumulation"
            h = self.mask(h, self._charge(torch.zeros_like(x), q) if skips else 0.0)
        spike = self._fire(h)
        r = self._reset(h, spike) if self.reset_time == "now" else h
        q = self.store(r)
        if self._keeps_comparison:
            threshold = torch.as_tensor(self.threshold, dtype=q.dtype, device=q.device)
            q = keep_comparison(q, spike > 0, threshold.detach())
        return spike * self._height if self.spec.spike.value == "threshold" else spike, q

    def run(
        self, x_seq: Tensor, q: Tensor, states: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the spikes of the steps of x_seq [T, N, ...], and the last stored membrane.

        The stored membrane of each step is appended to `states`, without its gradient.
        """
        spikes = []
        # unbinding costs one pass in the backward; indexing would cost one per step
        for x in x_seq.unbind():
            spike, q = self.step(x, q)
            spikes.append(spike)
            if states is not None:
                states.append(q.detach())
        return torch.stack(spikes), q

    def _charge(self, x: Tensor, q: Tensor) -> Tensor:
        if self.reset_time == "before_charge":
            return self.charge(x, self._reset(q, self._last_spike(q)))
        h = self.charge(x, q)
        return self._reset(h, self._last_spike(q)) if self.reset_time == "after_charge" else h

    def _fire(self, h: Tensor) -> Tensor:
        above = distance(h, self.threshold, *self._path)
        if isinstance(self.fire, Spike):
            return self.fire(above, self._step)
        return self.fire(above).to(above.dtype)  # hosts' surrogates may give float32

    def _reset(self, membrane: Tensor, spike: Tensor) -> Tensor:
        return reset(membrane, spike, self._height, self.v_reset, self.detach_reset)

    def _last_spike(self, q: Tensor) -> Tensor:
        """Return the spike of the step before, as the stored membrane tells it."""
        if self._keeps_comparison:
            return (q > self.threshold).to(q.dtype)
        return self._fire(q).detach()
