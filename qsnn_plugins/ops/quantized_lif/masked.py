"""The neuron whose charged membranes are masked before they fire, over all steps."""

from __future__ import annotations

from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.ops.quantized_lif import masked_operator, reference
from qsnn_plugins.ops.quantized_lif.arguments import checked_tensors
from qsnn_plugins.ops.quantized_lif.backends import choose
from qsnn_plugins.ops.quantized_lif.parameters import Parameters
from qsnn_plugins.spec import PruningSpec

__all__ = ["masked_lif"]


def masked_lif(
    x_seq: Tensor,
    v: Tensor | float,
    threshold: Tensor | float,
    parameters: Parameters,
    pruning: PruningSpec,
    predictor: tuple[Tensor, Tensor | None] | None = None,
    scale: Tensor | float = 1.0,
    decay: Tensor | float = 0.5,
    backend: str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""All steps of a neuron with a quantized membrane that is pruned (SpQuant-SNN Eq. 21-23).

        h[t] = charge(x[t], q[t-1]),    h[t] ← h[t] M_s[t] M_c[t],    then as `quantized_lif`

    Args:
        x_seq: Input currents, shape [T, N, C, ...] with T >= 1.
        v: Stored membrane q[0], shape [N, C, ...] or one number for all neurons.
        threshold: V_th, a number or a tensor of shape [] or [C, 1, ...].
        parameters: The neuron.
        pruning: What is masked, at each step and of each sample by itself.
        predictor: Weight [C, C] and bias [C] (or None) that score the channels, where `pruning`
            masks them; both get their gradient.
        scale: Scale of a "uniform" membrane; a measured one is not allowed here.
        decay: See `quantized_lif`.
        backend: "reference" or "cpp"; None takes QSNN_BACKEND, or what can run.

    Returns:
        Spikes [T, N, C, ...] of the dtype of `x_seq`, the last stored membrane [N, C, ...], and
        the shares that each step masked, float32 of shape [T, 3]: neurons by their importance,
        channels, neurons by either.

    Raises:
        ArgumentError: If a shape, a dtype or a measured scale is not allowed.
        BackendError: If a backend that was asked for by name cannot run.

    Example:
        >>> import torch
        >>> x_seq = torch.tensor([[[0.75, 1.5, -0.5, 2.0]], [[0.5, 0.0, 0.0, 0.25]]])
        >>> pruning = PruningSpec(spatial_ratio=0.5)
        >>> spikes, last, shares = masked_lif(x_seq, 0.0, 1.0, Parameters(), pruning)
        >>> spikes[0], last, shares[0]
        (tensor([[0., 1., 0., 1.]]), tensor([[0., 0., 0., 0.]]), tensor([0.5000, 0.0000, 0.5000]))
    """
    given = x_seq, v, threshold, parameters, scale, decay
    v, threshold, tensors = checked_tensors(*given, channels=True)
    if parameters.measures:
        raise ArgumentError("parameters.scale", parameters.scale, "'given' where it prunes")
    _check_predictor(x_seq, pruning, predictor)
    name = choose(x_seq, v, threshold, backend, pruning, tensors.get("decay"))
    run = reference.masked_lif if name == "reference" else masked_operator.masked_lif
    return run(x_seq, v, threshold, parameters, pruning, predictor, **tensors)


def _check_predictor(
    x_seq: Tensor, pruning: PruningSpec, predictor: tuple[Tensor, Tensor | None] | None
) -> None:
    if pruning.channel_threshold is None:
        return
    channels = x_seq.shape[2]
    given = None if predictor is None else tuple(predictor[0].shape)
    if given != (channels, channels):
        allowed = f"a weight of shape {(channels, channels)} and a bias, as channels are masked"
        raise ArgumentError("predictor", given, allowed)
