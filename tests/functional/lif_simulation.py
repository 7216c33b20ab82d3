"""A quantized LIF neuron and its gradients in numpy float64, written from the equations alone.

Nothing of `qsnn_plugins` is imported here: this is the independent side of the comparison.

    h[t] = v + (x[t] - (v - rest)) / tau   or   v - (v - rest) / tau + x[t]
    s[t] = 1[h[t] >= th]
    r[t] = s v_reset + (1 - s) h           or   h - s th
    q[t] = -1 (r <= -0.5), 0 (r <= 0.5), +1 (r > 0.5)        (IM-SNN Eq. 5, mended)
    L    = Σ w_s s + Σ w_q q

    Q'(r) = Σ_k T σ(T (r - m_k)) (1 - σ(T (r - m_k))), m = ±0.5    (IM-SNN Eq. 9, 10)
    s'(h) = max(0, 1 - |h - th|)                                   (SpQuant-SNN Eq. 4)
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


@dataclass
class Lif:
    """Conventions of the neuron that is simulated."""

    tau: float = 2.0
    decay_input: bool = False
    threshold: float = 1.0
    v_reset: float | None = 0.0
    detach_reset: bool = False
    smoothness: float = 2.0
    threshold_gradient: str = "ordinary"

    def run(self, x):
        """Return h, s, r, q of every step; x is [T, ...]."""
        rest = 0.0 if self.v_reset is None else self.v_reset
        v = np.full(x.shape[1:], rest)
        h, s, r, q = (np.empty_like(x) for _ in range(4))
        for t in range(len(x)):
            if self.decay_input:
                h[t] = v + (x[t] - (v - rest)) / self.tau
            else:
                h[t] = v - (v - rest) / self.tau + x[t]
            s[t] = h[t] >= self.threshold
            if self.v_reset is None:
                r[t] = h[t] - s[t] * self.threshold
            else:
                r[t] = np.where(s[t] == 1, self.v_reset, h[t])
            q[t] = np.where(r[t] <= -0.5, -1.0, np.where(r[t] <= 0.5, 0.0, 1.0))
            v = q[t]
        return h, s, r, q

    def gradients(self, x, weight_s, weight_q):
        """Return dL/dx [T, ...] and dL/dth by hand-written backpropagation through time."""
        h, s, r, _ = self.run(x)
        grad_x, grad_th, from_later = np.empty_like(x), 0.0, np.zeros(x.shape[1:])
        for t in reversed(range(len(x))):
            slope = 0.0
            for midpoint in (-0.5, 0.5):
                p = sigmoid(self.smoothness * (r[t] - midpoint))
                slope = slope + self.smoothness * p * (1 - p)
            grad_r = (weight_q[t] + from_later) * slope
            grad_s = weight_s[t].copy()
            if self.v_reset is None:
                grad_h = grad_r.copy()
                if not self.detach_reset:
                    grad_s -= grad_r * self.threshold
                if self.threshold_gradient == "ordinary":
                    grad_th -= (grad_r * s[t]).sum()
            else:
                grad_h = grad_r * (1 - s[t])
                if not self.detach_reset:
                    grad_s += grad_r * (self.v_reset - h[t])
            distance = h[t] - self.threshold
            through_spike = grad_s * np.maximum(0, 1 - np.abs(distance))
            grad_h += through_spike
            if self.threshold_gradient == "ordinary":
                grad_th -= through_spike.sum()
            else:  # SpQuant-SNN Eq. 27: a penalty window, and only where it fired
                grad_th -= (through_spike * sigmoid(distance) * (distance >= 0)).sum()
            grad_x[t] = grad_h / self.tau if self.decay_input else grad_h
            from_later = grad_h * (1 - 1 / self.tau)
        return grad_x, grad_th


CONVENTIONS = [
    Lif(tau, decay_input, threshold, v_reset, detach, smoothness, gradient)
    for (tau, decay_input), (threshold, smoothness), v_reset, detach, gradient in itertools.product(
        [(2.0, False), (4.0, True)],
        [(1.0, 2.0), (0.75, 3.5)],
        [0.0, None, -0.25],
        [False, True],
        ["ordinary", "separate"],
    )
]


def currents(steps=9, neurons=301, scale=1.0, seed=0):
    """Multiples of 1/64: sums are exact, and ties at thresholds and midpoints do occur."""
    rng = np.random.default_rng(seed)
    return np.round(rng.normal(0.2 * scale, 0.9 * scale, (steps, neurons)) * 64) / 64
