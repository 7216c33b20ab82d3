"""Channel gates, which decide before a convolution which of its output channels are computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.functional.pruning import (
    apply_mask,
    channel_gate,
    channel_means,
    input_attention,
)
from qsnn_plugins.nn.recomputation import Starts, is_recomputing
from qsnn_plugins.nn.state import StateFacts
from qsnn_plugins.spec import PruningSpec

__all__ = ["ChannelGate", "KeepsMeans", "channel_gates", "follow_norms"]


_REPLACED = (
    "the last mask of a gate was not applied: the normalization behind its convolution was "
    "replaced (`follow_norms` finds a synchronized BatchNorm), or the forward before was "
    "interrupted"
)


class KeepsMeans:
    """Base of neurons whose stored membranes can be the input of a gate.

    Where `keeps_means` is true, a neuron hands what it stored to `note_states` in each forward.

    Example:
        >>> neuron = KeepsMeans()
        >>> neuron.note_states(torch.tensor([[[3.0, 1.0], [-2.0, 0.0]]]), is_sequence=False)
        >>> neuron.stored_means
        tensor([[ 2., -1.]])
    """

    watching: int = 0  # gates
    stored_means: Tensor | None = None
    stored_samples: int = 0
    stored_size: int = 0  # membranes of one sample

    @property
    def keeps_means(self) -> bool:
        """Whether a gate watches it."""
        return self.watching > 0

    def note_states(self, states: Tensor, is_sequence: bool) -> None:
        """Keep the channels' means of stored membranes [N, C, ...], or of [T, N, C, ...]."""
        self.stored_samples = states.shape[int(is_sequence)]
        self.stored_size = math.prod(states.shape[1 + is_sequence :])
        self.stored_means = channel_means(states.flatten(0, 1) if is_sequence else states)


class ChannelGate(StateFacts):
    r"""Masks output channels of a convolution that has not run yet (SpQuant-SNN Eq. 23).

        M[t] = 1[σ(W · pool(q[t]) + b) > θ],    x[t] ← x[t] M[t]

    q[t] are the membranes that the neurons before the convolution have stored at step t, pool is
    the mean over the map of each of their channels, and x[t] is the output of the convolution and
    its normalization: the current of the next neurons. A masked channel need not be computed. When
    one sample is evaluated, it is indeed not computed: `convolve` uses only the weights of the
    other channels. (Where the gate looks at its input, steps that are folded into the batch count
    as samples.) The predictor (W and b) is trained with a straight-through gradient. Its bias
    starts at 0, so silent membranes have a score of 0.5 and nothing is masked. With
    `fidelity="released"`, its input is that of the convolution, see `functional.input_attention`,
    and it is never trained.

    A gate is a submodule of its convolution, named `gate`. `attach` adds it and `detach` removes
    it; `inject` and the networks of `models` do this automatically.

    Args:
        spec: Threshold and fidelity.
        in_channels: Channels C_in of its input.
        out_channels: Channels C_out of the convolution's output.

    Raises:
        ArgumentError: If the spec has no `channel_threshold`.

    Example:
        >>> gate = ChannelGate(PruningSpec(channel_threshold=0.47), 2, 2)
        >>> _ = gate.weight.data.copy_(torch.eye(2))
        >>> gate(torch.tensor([[2.0, -1.0]]))
        tensor([[1., 0.]], grad_fn=<_GateBackward>)
    """

    # a state of before the gates were placed has nothing of them
    _loads_float_state = True

    def __init__(self, spec: PruningSpec, in_channels: int, out_channels: int) -> None:
        super().__init__()
        if spec.channel_threshold is None:
            raise ArgumentError("channel_threshold", None, "a number between 0 and 1")
        self.spec, self.threshold = spec, spec.channel_threshold
        watched = in_channels // 4 if self._sees_input and in_channels >= 4 else in_channels
        self.weight = nn.Parameter(torch.empty(out_channels, watched))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self._sees_input:  # as torch draws the bias of a convolution
            nn.init.uniform_(self.bias, -(watched**-0.5), watched**-0.5)
            self.requires_grad_(False)
        self.mask: Tensor | None = None
        self.skips = True  # whether masked channels are left out where they can be
        self._is_alone = False
        self._repeats = False  # the mask is of a pass that is recomputed, which may stop early
        self.pooled = 0  # values that a mean was taken of, for one map
        # in a list, which does not make them parts of the gate: layer, then neurons
        self._placed: list[Any] = []
        self._masked: list[Any] = []  # the module whose output is masked
        self._handles: list[Any] = []
        self._starts = Starts()

    @property
    def _sees_input(self) -> bool:
        return self.spec.fidelity == "released"

    @property
    def layer(self) -> Any:
        """The convolution."""
        return self._placed[0]

    @property
    def sources(self) -> list[Any]:
        """The neurons whose membranes it watches; none where it looks at the input."""
        return self._placed[1:]

    def state_facts(self) -> dict[str, Any]:
        """Return the options that are saved in the state dict in addition to the tensors."""
        return {"threshold": self.threshold, "fidelity": self.spec.fidelity}

    def attach(
        self, layer: nn.Module, masked: nn.Module, sources: Sequence[nn.Module] = ()
    ) -> Self:
        """Place the gate.

        Args:
            layer: The convolution.
            masked: The module whose output is masked: the normalization after the convolution, or
                the convolution itself.
            sources: The neurons whose stored membranes are its input, several if their spikes are
                concatenated; none with `fidelity="released"`.

        Raises:
            ArgumentError: If a neuron does not provide its stored membranes, or the convolution has
                an attribute `gate` already.
        """
        if hasattr(layer, "gate"):
            raise ArgumentError("layer", type(layer).__name__, "one without an attribute `gate`")
        for source in sources:
            if not isinstance(source, KeepsMeans):
                raise ArgumentError("sources", type(source).__name__, "neurons of qsnn_plugins")
            source.watching += 1
        self._placed, self._masked = [layer, *sources], [masked]
        device = next((p.device for p in layer.parameters()), None)
        layer.add_module("gate", self.to(device))
        self._handles = [
            layer.register_forward_pre_hook(self.decide, with_kwargs=True),
            layer.register_forward_hook(self.forget_failed, always_call=True),
            masked.register_forward_hook(self.apply_to, always_call=True),
        ]
        if isinstance(layer, _ConvNd) and not isinstance(layer, _ConvTransposeNd):
            vars(layer)["_conv_forward"] = self.convolve
        return self

    def detach(self) -> None:
        """Remove the gate from its convolution."""
        for handle in self._handles:
            handle.remove()
        del self.layer.gate
        vars(self.layer).pop("_conv_forward", None)
        for source in self.sources:
            source.watching -= 1
            if not source.keeps_means:
                source.stored_means = None

    def follow(self, network: nn.Module) -> None:
        """Mask behind what has replaced the normalization, as a synchronized BatchNorm does.

        Args:
            network: The network, with the new normalization, which has the old one's tensors.

        Raises:
            QSNNError: If the normalization is gone, and none has its tensors.
        """
        (old,), parts = self._masked, [*network.modules()]
        if any(part is old for part in parts):
            return
        kept = getattr(old, "weight", None), getattr(old, "running_mean", None)
        for part in parts:
            own = getattr(part, "weight", None), getattr(part, "running_mean", None)
            if any(a is b is not None for a, b in zip(own, kept, strict=True)):
                self._handles.pop().remove()
                self._masked = [part]
                self._handles.append(part.register_forward_hook(self.apply_to, always_call=True))
                return
        raise QSNNError(_REPLACED)

    def decide(self, layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Decide which channels are computed: a hook that runs before the convolution."""
        if self.mask is not None and not self._repeats:
            self.mask = None
            raise QSNNError(_REPLACED)
        x, dims = (*inputs, *named.values())[0], len(self.layer.kernel_size)
        if not self.sources:
            maps = x.reshape(-1, *x.shape[-1 - dims :])
            means, samples = input_attention(maps), x.shape[1] if x.dim() > dims + 2 else len(maps)
            self.pooled = math.prod(size // 4 if size >= 4 else size for size in maps.shape[1:])
        elif any(source.stored_means is None for source in self.sources):
            raise QSNNError("the neurons that feed a gated convolution have not run before it")
        else:
            every = [source.stored_means for source in self.sources]
            if len(set(map(len, every))) > 1:
                maps = " and ".join(str(len(means)) for means in every)
                raise QSNNError(f"the neurons that feed a gated convolution stored {maps} maps")
            means, samples = torch.cat(every, 1), self.sources[0].stored_samples
            self.pooled = sum(source.stored_size for source in self.sources)
        # a recomputed pass is decided by what the first one saw
        (means,) = self._starts.of((x,), means)
        self.mask, self._is_alone, self._repeats = self(means), samples == 1, is_recomputing()

    def forward(self, means: Tensor) -> Tensor:
        """Return 0 or 1, shape [N, C_out], of what is watched, shape [N, C_in]."""
        return channel_gate(means, self.weight, self.bias, self.threshold)

    def forget_failed(self, layer: nn.Module, inputs: Any, output: Tensor | None) -> None:
        """Forget the mask where the convolution has raised an error: a hook behind it."""
        if output is None:
            self.mask = None

    def apply_to(self, module: nn.Module, inputs: Any, output: Tensor | None) -> Tensor | None:
        """Return the masked output of the convolution's normalization: a hook behind it."""
        mask, self.mask = self.mask, None  # with its graph it would keep the network from a copy
        if output is None:  # the normalization has raised an error
            return None
        dims = len(self.layer.kernel_size)
        leading = output.shape[: output.dim() - dims - 1]
        decided = 0 if mask is None else len(mask)
        if mask is None or decided != leading.numel():
            raise QSNNError(
                f"a gate decided for {decided} maps, and its convolution made {leading.numel()}: "
                "the neurons that feed it saw another batch, or other steps"
            )
        shape = (*leading, mask.shape[1], *(1,) * dims)  # no -1, which an empty batch leaves open
        return apply_mask(output, mask.reshape(shape).to(output.dtype))

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve in place of torch's own method, and leave out what is masked where it can.

        At evaluation of one sample, without gradients, each step's map is multiplied by the weights
        of its open channels alone, and the rest of the output is 0. Larger batches, and grouped
        convolutions, are computed in full: their masks take effect afterwards.
        """
        layer, mask = self.layer, self.mask
        run = type(layer)._conv_forward
        is_evaluation = not (self.training or torch.is_grad_enabled())
        skips = self.skips and self._is_alone and is_evaluation and layer.groups == 1
        if mask is None or not skips or x.is_meta or torch.compiler.is_compiling():
            return run(layer, x, weight, bias)
        made = []
        for step, is_open in zip(x.split(1), mask > 0, strict=True):
            kept = is_open.nonzero().flatten()
            if not len(kept):  # a convolution makes one channel at least
                kept = kept.new_zeros(1)
            part = run(layer, step, weight[kept], None if bias is None else bias[kept])
            whole = part.new_zeros(1, len(weight), *part.shape[2:])
            made.append(whole.index_copy_(1, kept, part))
        return torch.cat(made)


def channel_gates(network: nn.Module) -> dict[str, ChannelGate]:
    """List the gates of a network by the names of their convolutions.

    Example:
        >>> from qsnn_plugins import presets
        >>> from qsnn_plugins.models import StringNet
        >>> from qsnn_plugins.nn import channel_gates
        >>> list(channel_gates(StringNet("4C3-6C3-GAP-FC2", spec=presets.spquant())))
        ['blocks.conv2.synapse.0']
    """
    found = {n: m for n, m in network.named_modules() if isinstance(m, ChannelGate)}
    return {name.removesuffix(".gate"): gate for name, gate in found.items()}


def follow_norms(network: nn.Module) -> None:
    """Let each gate mask behind what has replaced its normalization, see `ChannelGate.follow`.

    Raises:
        QSNNError: If a normalization is gone, and none has its tensors.

    Example:
        >>> from qsnn_plugins import presets
        >>> from qsnn_plugins.models import StringNet
        >>> network = StringNet("4C3-6C3-GAP-FC2", spec=presets.spquant())
        >>> follow_norms(nn.SyncBatchNorm.convert_sync_batchnorm(network))
    """
    for gate in channel_gates(network).values():
        gate.follow(network)
