"""The k-bit membrane quantizer as a module, with its ways to choose a scale."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError, QSNNWarning
from qsnn_plugins.functional.membrane.uniform import (
    average_scale,
    step_codes,
    step_max,
    tanh_membrane,
    uniform_membrane,
)
from qsnn_plugins.functional.packing.codes import Codes, encode
from qsnn_plugins.functional.scale import MIN_SCALE, normalize_gradient
from qsnn_plugins.functional.threshold import keep_positive
from qsnn_plugins.nn.recomputation import Starts, is_recomputing
from qsnn_plugins.spec import MembraneSpec

__all__ = ["UniformMembrane"]


class UniformMembrane(nn.Module):
    """Quantizes membranes to k bits, with one scale per layer: `functional.uniform_membrane`.

    The scale is `MembraneSpec.scale`:

    - "fixed": the buffer `scale`, which never changes.
    - "learned": the parameter `scale`, kept positive; its straight-through gradient is divided by
      sqrt(neurons of a sample · positive levels) as in LSQ, so that it does not change too fast.
    - "running": the buffer `scale`, a running average of max|u| over the training steps, which
      training and evaluation use in the same way.
    - "step_max": max|u| of each step and batch in training, as in Q-SNN's released code. At
      evaluation, the result for a sample would then depend on its batch, so the running average is
      used instead, with a warning, unless `MembraneSpec.evaluation` is "published".

    A layer that has never been charged keeps its initial scale and stores zeros. Under gradient
    checkpointing, the recomputed pass uses the scales of the first pass and does not update the
    average.

    Args:
        spec: Of kind "uniform" or "tanh".

    Raises:
        ArgumentError: If `spec` is of another kind.

    Example:
        >>> spec = MembraneSpec(kind="uniform", bits=3, scale="fixed", scale_value=1.5)
        >>> quantizer = UniformMembrane(spec)
        >>> q = quantizer(torch.tensor([-9.0, 0.4, 1.1]))
        >>> q, quantizer.encode(q).codes
        (tensor([-1.5000,  0.5000,  1.0000]), tensor([0, 4, 5], dtype=torch.uint8))
    """

    scale: Tensor
    initialized: Tensor

    def __init__(self, spec: MembraneSpec) -> None:
        super().__init__()
        if spec.kind not in ("uniform", "tanh"):
            raise ArgumentError("spec.kind", spec.kind, "'uniform' or 'tanh'")
        self.spec = spec
        # a published scale has no first value: it is that of the step
        first = torch.tensor(1.0 if spec.scale_value is None else spec.scale_value)
        if spec.scale == "learned":
            self.scale = nn.Parameter(first)
        else:
            self.register_buffer("scale", first)
        if spec.scale in ("running", "step_max"):
            # no bool, of which no average can be taken
            self.register_buffer("initialized", torch.tensor(0))
        self._starts = Starts()

    def train(self, mode: bool = True) -> UniformMembrane:
        """Choose training or evaluation; warn where the scale is not the published one."""
        if not mode and self.spec.scale == "step_max" and self.spec.evaluation == "running":
            warnings.warn(
                "the step's maximum makes a sample depend on its batch: evaluation scales the "
                'membrane by the running average (evaluation="published" asks for the maximum)',
                QSNNWarning,
                stacklevel=2,
            )
        return super().train(mode)

    def share_scale(self, scale: nn.Parameter) -> None:
        """Use a parameter of another module as the scale, as MINT shares it with the weights.

        Args:
            scale: Scalar parameter.

        Raises:
            ArgumentError: If the scale of this module is not learned, or `scale` is not a scalar.
        """
        if self.spec.scale != "learned":
            raise ArgumentError("membrane.scale", self.spec.scale, "'learned' where it is shared")
        if scale.numel() != 1:
            raise ArgumentError("scale.shape", tuple(scale.shape), "a scalar parameter")
        self.scale = scale

    def forward(self, u: Tensor) -> Tensor:
        """Return the quantized membrane of u, any shape."""
        spec = self.spec
        scale = self._scale_for(u)
        if spec.kind == "tanh":
            return tanh_membrane(u, scale, spec.bits)
        return uniform_membrane(u, scale, spec.bits, spec.gradient, spec.surrogate, spec.smoothness)

    @property
    def scale_of_steps(self) -> Literal["given", "step_max", "running"]:
        """Where a step's scale comes from now: `scale_in_use`, its own maximum or the average."""
        if self.spec.scale == "step_max":
            is_maximum = self.training or self.spec.evaluation == "published"
            return "step_max" if is_maximum else "given"
        return "running" if self.spec.scale == "running" and self.training else "given"

    def scale_in_use(self, shape: Sequence[int]) -> Tensor:
        """Return the scale as it stands for a membrane of shape [N, ...], positive if it learns."""
        if self.spec.scale != "learned":
            return self.scale
        neurons, (_, greatest) = math.prod(shape[1:]), step_codes(self.spec.bits)
        return normalize_gradient(keep_positive(self.scale, MIN_SCALE), neurons, greatest)

    def _scale_for(self, u: Tensor) -> Tensor:
        source = self.scale_of_steps
        if source == "given":
            return self.scale_in_use(u.shape)
        greatest = step_max(u.tanh() if self.spec.kind == "tanh" else u)
        if source == "step_max":
            self.observe(greatest)
            return greatest
        scale, initialized = self.start(u)
        self.observe(greatest)
        greatest = greatest.to(scale.dtype)
        return average_scale(scale, initialized, greatest, self.spec.momentum)[0]

    def start(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the average from which a pass over these inputs starts, and whether it is one."""
        return self._starts.of(inputs, self.scale, self.initialized > 0)

    @torch.no_grad()
    def observe(self, greatest: Tensor) -> None:
        """Let the running average see a step's maximum, a scalar, while training."""
        if self.spec.momentum is not None:
            given = self.scale, self.initialized > 0, greatest.to(self.scale.dtype)
            self.keep(*average_scale(*given, self.spec.momentum))

    @torch.no_grad()
    def keep(self, average: Tensor, initialized: Tensor) -> None:
        """Keep the running average after steps that ran elsewhere, while training.

        Args:
            average: Shape [].
            initialized: Whether it is one, shape [].
        """
        if self.training and self.spec.momentum is not None and not is_recomputing():
            self.scale.copy_(average)
            self.initialized.copy_(initialized)

    def encode(self, q: Tensor) -> Codes:
        """Return integer codes of a stored membrane, any shape, under the scale in use."""
        if self.scale_of_steps == "step_max":  # the greatest code is stored as the maximum itself
            return encode(q, self.spec.level_table, step_max(q))
        return encode(q, self.spec.level_table, self.scale_in_use(q.shape).detach().clone())

    def extra_repr(self) -> str:
        """Say what the spec says."""
        return str(self.spec)
