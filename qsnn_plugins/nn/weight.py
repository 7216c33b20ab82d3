"""Weight quantizers as parametrizations of ordinary layers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn.layers import (
    Transposed,
    WeightLayer,
    end_layers,
    is_transposed,
    swap_channels,
    weight_layers,
)
from qsnn_plugins.nn.state import (
    EXTRA_STATE,
    StateFacts,
    are_changes_allowed,
    note_float_weight,
)
from qsnn_plugins.nn.uniform import Uniform
from qsnn_plugins.spec import WeightSpec
from qsnn_plugins.spec.custom import build_custom, import_class

__all__ = [
    "WeightQuantizer",
    "layer_quantizer",
    "quantize_weights",
    "remove_quantizer",
    "set_weight_epoch",
    "weight_quantizer",
]


@runtime_checkable
class WeightQuantizer(Protocol):
    """The interface of a weight quantizer.

    `bits` is the width of a weight. `levels` are the integers that may occur as codes, at most
    2^bits in ascending order; a memory stores indices into `levels`. A layer also has `scale_count`
    scales of `scale_bits` bits each. `codes(weight)` takes the float weight and returns int32 codes
    and a unit: `(codes * unit).to(weight.dtype)` is exactly the quantized weight.

    Example:
        >>> import torch
        >>> isinstance(Uniform(torch.ones(2, 2)), WeightQuantizer)
        True
    """

    bits: int
    levels: tuple[int, ...]
    scale_count: int
    scale_bits: int

    def codes(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return int32 codes and their unit."""


def weight_quantizer(weight: Tensor, spec: WeightSpec, is_end: bool = False) -> nn.Module:
    """Build the parametrization of one weight from a spec.

    Args:
        weight: The weight to quantize, shape [out, ...].
        spec: The weight part of a `QuantSpec`.
        is_end: Whether its layer is the first or the last, to which `spec.first_last` applies.

    Returns:
        A `WeightQuantizer`; the identity for 32-bit weights.

    Raises:
        ArgumentError: If a custom class does not meet the requirements of `WeightSpec`.

    Example:
        >>> import torch
        >>> weight_quantizer(torch.ones(2, 2), WeightSpec(kind="uniform", bits=8))
        Uniform(bits=8, scale=learned, per=layer)
    """
    if is_end and spec.first_last == "float":
        return nn.Identity()
    if is_end and spec.first_last == "eight_bit":
        return Uniform(weight, bits=8, scale="max")
    if spec.kind == "custom":
        return build_custom(spec, weight)
    return import_class(spec.module_path)(weight, **spec.options)


def layer_quantizer(layer: nn.Module) -> WeightQuantizer | None:
    """Return the quantizer of a layer's weight, or None.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> layer_quantizer(layer) is None
        True
        >>> _ = quantize_weights(layer, WeightSpec(kind="mint", bits=2))
        >>> layer_quantizer(layer)
        Mint(bits=2, scale=learned)
    """
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    parametrizations: Any = layer.parametrizations
    last = parametrizations.weight[-1]
    return last if isinstance(last, WeightQuantizer) else None


def quantize_weights(network: nn.Module, spec: WeightSpec | Mapping[str, WeightSpec]) -> list[str]:
    """Quantize the weights of a network's layers in place, see `weight_layers`.

    The first and the last layer of the network, see `end_layers`, follow `first_last` of their
    spec; 1 x 1 convolutions and shortcuts are treated like other layers. The state dict has the
    float weight as `parametrizations.weight.original`. A state dict of a float network, which has
    it as `weight`, can be loaded too; scales are then initialized from the loaded weight. Layers
    that share one weight also share its quantizer, whose channels are those of the first layer. The
    parameters of a quantizer are frozen if the weight is. If an error is raised, the network is not
    changed.

    Args:
        network: Any network.
        spec: The weight part of a `QuantSpec`, or one for each layer by its name in
            `weight_layers`; other layers are not changed.

    Returns:
        Names of the layers that were quantized.

    Raises:
        ArgumentError: If a weight of the network is already parametrized, is not a parameter, has
            no values yet (lazy layers) or is not floating point, a name is not one of a layer,
            layers that share a weight have different specs, or a padding token of an embedding
            would not stay 0.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1))
        >>> quantize_weights(network, WeightSpec(kind="power_of_two", first_last="float"))
        ['1']
        >>> list(network.state_dict())[2:4]
        ['1.bias', '1.parametrizations.weight.original']
        >>> quantize_weights(network, {"2": WeightSpec(kind="uniform", bits=2)})
        ['2']
    """
    layers = weight_layers(network)
    specs = dict.fromkeys(layers, spec) if isinstance(spec, WeightSpec) else spec
    for name in specs:
        if name not in layers:
            raise ArgumentError("spec", name, f"names of layers among {', '.join(layers)}")
    ends = end_layers(network)
    quantizers: dict[str, nn.Module] = {}
    loaders: dict[str, _Loader] = {}
    first_names: dict[int, str] = {}
    for name, layer in layers.items():
        own, is_end = specs.get(name), name in ends
        if own is None or own.kind == "float" or (is_end and own.first_last == "float"):
            continue
        _check_layer(name, layer)
        first = first_names.setdefault(id(layer.weight), name)
        if specs[first] != own:
            allowed = f"the spec of {first}, whose weight it shares"
            raise ArgumentError(f"{name}.weight", str(own), allowed)
        loaders[name] = _Loader(own, is_end)
        if first != name:
            quantizers[name] = quantizers[first]
            continue
        quantizers[name] = _build(layer.weight, own, is_end, _groups(layer))
        quantizers[name].register_forward_hook(_freeze_with_weight)
        if not layer.weight.requires_grad:
            quantizers[name].requires_grad_(False)
    for name, quantizer in quantizers.items():
        _check_padding(name, layers[name], quantizer)
    done: list[WeightLayer] = []
    try:
        for name, quantizer in quantizers.items():
            parametrize.register_parametrization(layers[name], "weight", quantizer)
            _forget_loaders(layers[name])
            layers[name].register_load_state_dict_pre_hook(loaders[name])
            done.append(layers[name])
    except BaseException:
        for layer in done:
            remove_quantizer(layer)
        raise
    return list(quantizers)


def _check_padding(name: str, layer: WeightLayer, quantizer: Any) -> None:
    """Refuse to give a padding token, which adds nothing, a weight."""
    token = getattr(layer, "padding_idx", None)
    if token is None or layer.weight[token].any():
        return
    codes, _ = quantizer.codes(layer.weight.detach())
    if codes[token].any():
        allowed = f"None: {quantizer} has no 0 for it; inject skips the layer with overrides="
        raise ArgumentError(f"{name}.padding_idx", token, f"{allowed}{{{name!r}: None}}")


def _groups(layer: Any) -> int | None:
    return layer.groups if is_transposed(layer) else None


def _build(weight: Tensor, spec: WeightSpec, is_end: bool, groups: int | None) -> nn.Module:
    """Build the quantizer of a layer's weight, of a transposed convolution where it has groups."""
    if groups is None:
        return weight_quantizer(weight, spec, is_end)
    whole = weight_quantizer(swap_channels(weight, groups), spec, is_end)
    return Transposed(whole, groups)


def _freeze_with_weight(_: nn.Module, inputs: tuple[Tensor], weight: Tensor) -> Tensor:
    """Keep the gradient from a quantizer whose float weight has none."""
    return weight if inputs[0].requires_grad else weight.detach()


@dataclass(frozen=True)
class _Loader:
    """Lets a quantized layer load what was saved of a float one, or of one quantized otherwise."""

    spec: WeightSpec
    is_end: bool

    def __call__(
        self,
        layer: Any,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Map a float weight's key, and give the quantizer a state that fits the loaded weight."""
        if not _is_ours(layer):  # torch itself may have removed the quantizer
            return
        plain, place = f"{prefix}weight", f"{prefix}parametrizations.weight."
        original, own = f"{place}original", layer.parametrizations.weight
        is_float = plain in state_dict and original not in state_dict
        if is_float:
            kind = type(_inner(own[0], "")[0]).__name__
            note_float_weight(plain, kind, missing_keys, error_msgs)
            state_dict[original] = state_dict.pop(plain)
        elif not (are_changes_allowed() and self._differs(own[0], state_dict, f"{place}0.")):
            return
        weight, quantizer = state_dict.get(original), own[0]
        if isinstance(weight, Tensor) and weight.shape == own.original.shape:
            with warnings.catch_warnings():  # said when the layer was quantized
                warnings.simplefilter("ignore")
                groups = quantizer.groups if isinstance(quantizer, Transposed) else None
                like = weight.detach().to(own.original)
                quantizer = _build(like, self.spec, self.is_end, groups)
        for key in [key for key in state_dict if key.startswith(f"{place}0.")]:
            del state_dict[key]
        state_dict.update(quantizer.state_dict(prefix=f"{place}0."))
        if is_float:  # it says nothing of itself
            state_dict.pop(_inner(quantizer, f"{place}0.")[1] + EXTRA_STATE, None)

    @staticmethod
    def _differs(quantizer: nn.Module, state_dict: dict[str, Any], prefix: str) -> bool:
        quantizer, prefix = _inner(quantizer, prefix)
        state = state_dict.get(prefix + EXTRA_STATE)
        if state is None or not isinstance(quantizer, StateFacts):
            return False
        return bool(quantizer.state_differences(state))


def _inner(quantizer: Any, prefix: str) -> tuple[nn.Module, str]:
    """The quantizer that says what its state is, and where in a state dict it does."""
    if isinstance(quantizer, Transposed):
        return quantizer.quantizer, f"{prefix}quantizer."
    return quantizer, prefix


def remove_quantizer(layer: nn.Module) -> None:
    """Remove the quantizer of a layer's weight, which becomes a float parameter again.

    Parametrizations that were registered later are kept. Copies of the layer keep their quantizers;
    torch itself would remove the weight from all copies, since they share the class of a
    parametrized layer.

    Example:
        >>> from copy import deepcopy
        >>> layer = nn.Linear(2, 2)
        >>> _ = quantize_weights(layer, WeightSpec(kind="mint", bits=2))
        >>> remove_quantizer(deepcopy(layer))
        >>> layer.weight.shape
        torch.Size([2, 2])
    """
    if not parametrize.is_parametrized(layer, "weight"):
        return
    parametrizations: Any = layer.parametrizations
    ours = [isinstance(each, WeightQuantizer) for each in parametrizations.weight]
    if not any(ours):
        return
    _forget_loaders(layer)
    if not all(ours):
        del parametrizations.weight[ours.index(True)]
        return
    shared = type(layer)
    own = {k: v for k, v in vars(shared).items() if k not in ("__dict__", "__weakref__")}
    layer.__class__ = type(shared.__name__, shared.__bases__, own)
    behind = list(layer._parameters)
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    # torch registers the weight anew, as the last
    for name in behind:
        layer._parameters[name] = layer._parameters.pop(name)


def _is_ours(layer: Any) -> bool:
    """Whether the first that a weight is parametrized with is a quantizer."""
    is_parametrized = parametrize.is_parametrized(layer, "weight")
    return is_parametrized and isinstance(layer.parametrizations.weight[0], WeightQuantizer)


def _forget_loaders(layer: nn.Module) -> None:
    hooks: dict[int, Any] = layer._load_state_dict_pre_hooks
    for key in [key for key, hook in hooks.items() if isinstance(hook.hook, _Loader)]:
        del hooks[key]


def _check_layer(name: str, layer: WeightLayer) -> None:
    skips = f"inject skips the layer with overrides={{{name!r}: None}}"
    if layer_quantizer(layer) is not None:
        allowed = f"a layer with a float weight: eject comes first, or {skips}"
        raise ArgumentError(f"{name}.weight", "quantized already", allowed)
    if parametrize.is_parametrized(layer, "weight"):
        parametrizations: Any = layer.parametrizations
        kinds = ", ".join(type(each).__name__ for each in parametrizations.weight)
        allowed = f"a plain weight: {kinds} has to be removed first, or {skips}"
        raise ArgumentError(f"{name}.weight", "parametrized", allowed)
    if isinstance(layer.weight, UninitializedParameter):
        raise ArgumentError(f"{name}.weight", "lazy", "a layer that has seen its first input")
    if not isinstance(layer.weight, Tensor) or not layer.weight.is_floating_point():
        kind = getattr(layer.weight, "dtype", type(layer.weight).__name__)
        raise ArgumentError(f"{name}.weight", kind, "a floating point weight")
    if not layer.weight.numel():
        allowed = f"a weight with elements, or {skips}"
        raise ArgumentError(f"{name}.weight.shape", list(layer.weight.shape), allowed)
    if "weight" not in {**layer._parameters, **layer._buffers}:
        allowed = (
            "a parameter: what computes it (weight_norm, spectral_norm, prune) has to be removed "
            f"first, or {skips}"
        )
        raise ArgumentError(f"{name}.weight", "computed", allowed)


def set_weight_epoch(network: nn.Module, epoch: int, epochs: int) -> None:
    """Set the epoch of quantizers whose gradient or temperature follows a schedule.

    Args:
        network: A network after `quantize_weights`.
        epoch: Number of finished epochs, from 0.
        epochs: Number of epochs of the whole training.

    Raises:
        ArgumentError: If `epoch` is not between 0 and `epochs`.

    Example:
        >>> layer = nn.Linear(4, 2)
        >>> _ = quantize_weights(layer, WeightSpec(kind="sigmoid", bits=2))
        >>> set_weight_epoch(layer, 10, epochs=100)
        >>> layer.parametrizations.weight[0].temperature
        tensor(21.)
    """
    if not 0 <= epoch <= epochs:
        raise ArgumentError("epoch", epoch, f"a number from 0 to {epochs}")
    for layer in weight_layers(network).values():
        quantizer: Any = layer_quantizer(layer)
        if hasattr(quantizer, "set_epoch"):
            quantizer.set_epoch(epoch, epochs)
