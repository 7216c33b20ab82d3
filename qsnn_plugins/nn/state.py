"""Quantization options in state dicts, which are compared when a state dict is loaded.

Bits, levels, leaks and resets have no tensor whose shape could reveal a difference. They are stored
as the extra state of a module: JSON in a uint8 tensor, so that all values of a state dict are
tensors.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError, QSNNWarning
from qsnn_plugins.spec import QuantSpec

__all__ = ["StateFacts", "allow_spec_changes", "are_changes_allowed", "note_float_weight"]

EXTRA_STATE = "_extra_state"  # torch's name of the key
_ALLOWED = ContextVar("allowed", default=False)


@contextmanager
def allow_spec_changes() -> Iterator[None]:
    r"""Allow state dicts of networks with another spec, for example to fine-tune with fewer bits.

    Inside the block, `load_state_dict` loads the tensors that fit. The scale of a weight that is
    quantized differently is initialized from the loaded weight; other parameters that are new keep
    their values.

    Example:
        >>> from qsnn_plugins import allow_spec_changes
        >>> from qsnn_plugins.nn import quantize_weights
        >>> from qsnn_plugins.spec import WeightSpec
        >>> trained, finer = nn.Linear(4, 2), nn.Linear(4, 2)
        >>> _ = quantize_weights(trained, WeightSpec(kind="uniform", bits=4))
        >>> _ = quantize_weights(finer, WeightSpec(kind="uniform", bits=2))
        >>> try:
        ...     finer.load_state_dict(trained.state_dict())
        ... except RuntimeError as error:
        ...     print(str(error).split("\t")[1])
        weight: bits is 4 in the state, 2 here
        >>> with allow_spec_changes():
        ...     finer.load_state_dict(trained.state_dict())
        <All keys matched successfully>
    """
    token = _ALLOWED.set(True)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def are_changes_allowed() -> bool:
    """Return whether this runs inside `allow_spec_changes`.

    Example:
        >>> are_changes_allowed()
        False
    """
    return _ALLOWED.get()


class StateFacts(nn.Module):
    """Base of modules whose state dict contains how they are quantized.

    A subclass returns it in `state_facts`. If the loaded state differs, the error of
    `load_state_dict` lists every difference. A state without this information is loaded with one
    warning.

    Example:
        >>> class Rounded(StateFacts):
        ...     def __init__(self, bits):
        ...         super().__init__()
        ...         self.bits = bits
        ...
        ...     def state_facts(self):
        ...         return {"bits": self.bits}
        >>> Rounded(3).load_state_dict(Rounded(3).state_dict())
        <All keys matched successfully>
        >>> Rounded(3).state_differences(Rounded(2).get_extra_state())
        ['bits is 2 in the state, 3 here']
    """

    # whether a host's float state, which has nothing of what a spec brings, is loaded too
    _loads_float_state: ClassVar[bool] = False
    # whether it fills in what a state that differs lacks; the parts of a container do so themselves
    _fills_in: ClassVar[bool] = True
    # tensors of the host that repeat a fact, and are never loaded
    _repeated_facts: ClassVar[tuple[str, ...]] = ()

    if TYPE_CHECKING:  # hosts' classes are untyped, and so are the attributes of what is both

        def __getattr__(self, name: str) -> Any: ...

    def state_facts(self) -> dict[str, Any]:
        """Return the options that change the forward and have no tensor, as plain values.

        "spec" may be the result of `QuantSpec.to_dict`; only its options that change the forward of
        a neuron are compared. Subclasses override it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what its state says")

    def get_extra_state(self) -> Tensor:
        """Return `state_facts` as JSON in a uint8 tensor, shape [B], for a state dict."""
        text = json.dumps(self.state_facts(), sort_keys=True, separators=(",", ":"))
        return torch.tensor(list(text.encode()), dtype=torch.uint8, device="cpu")

    def set_extra_state(self, state: Any) -> None:
        """Do nothing: a state is compared while it is loaded, and never changes the spec."""

    def state_differences(self, state: Any) -> list[str]:
        """Say what an extra state has otherwise than this module, one sentence each."""
        saved, own = _read(state), _read(self.get_extra_state())
        if saved is None or own is None:
            return ["what the state says of its quantization is damaged, or of a later version"]
        return [
            f"{name} is {saved[name]} in the state, {own[name]} here"
            for name in own
            if name in saved and saved[name] != own[name]
        ]

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        own = self.state_dict(prefix=prefix)
        state = state_dict.get(prefix + EXTRA_STATE)
        differences = [] if state is None else self.state_differences(state)
        load = _current(missing_keys)
        if state is None:
            # one under another name is of the other host, whose state is refused
            if not any(key.endswith(EXTRA_STATE) for key in (*state_dict, *unexpected_keys)):
                _warn_once(load)
            _warn_of_levels(self, state_dict, prefix)
        else:
            load.says_something = True
            _refuse_float_weights(load, error_msgs)
        if differences and not are_changes_allowed():
            name = prefix.removesuffix(".").replace(".parametrizations.weight.0", ".weight")
            name = name.replace("parametrizations.weight.0", "weight") or type(self).__name__
            error_msgs += [f"{name}: {difference}" for difference in differences]
        if self._fills_in and (differences or (state is None and self._loads_float_state)):
            _complete(state_dict, own)
        if self._fills_in and differences:
            for key in [key for key in state_dict if key.startswith(prefix) and key not in own]:
                del state_dict[key]
        for key in (EXTRA_STATE, *self._repeated_facts):
            state_dict[prefix + key] = own[prefix + key]
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


def _complete(state_dict: dict[str, Any], own: dict[str, Any]) -> None:
    """Give a state what it has not, or has in another shape; one value goes to all channels."""
    for key, value in own.items():
        given = state_dict.get(key)
        if not isinstance(given, Tensor) or given.numel() not in (1, value.numel()):
            state_dict[key] = value
        elif given.shape != value.shape:
            state_dict[key] = given.expand(value.shape) if given.numel() == 1 else value


def _read(state: Any) -> dict[str, Any] | None:
    """Read an extra state, its spec spelled out; None where it cannot be read."""
    try:
        # whoever averages states averages equal bytes
        facts = json.loads(bytes(state.round().to(torch.uint8).tolist()))
        if (spec := facts.pop("spec", None)) is not None:
            facts |= QuantSpec.from_dict(spec).neuron_options()
        return facts
    except (ValueError, TypeError, AttributeError, RuntimeError, ArgumentError):
        return None


def note_float_weight(name: str, kind: str, missing_keys: list[str], errors: list[str]) -> None:
    """Take note of a quantized layer whose weight is float in the state that is loaded.

    That of a float network says nothing of quantization, and may be loaded. One that says something
    was quantized otherwise.

    Args:
        name: The weight's name.
        kind: What quantizes it here.
        missing_keys: The list that torch hands to each module of the load.
        errors: The list of the load's errors.
    """
    load = _current(missing_keys)
    load.float_weights.append(f"{name}: kind is float in the state, {kind} here")
    if load.says_something:
        _refuse_float_weights(load, errors)


def _refuse_float_weights(load: _Load, errors: list[str]) -> None:
    if not are_changes_allowed():
        errors += load.float_weights[load.refused :]
        load.refused = len(load.float_weights)


def _warn_once(load: _Load) -> None:
    if not (load.is_warned or load.float_weights):
        load.is_warned = True
        warnings.warn(
            "the state does not say how it was quantized: it is of a float network, or was saved "
            "by an earlier version; it is loaded as it is",
            QSNNWarning,
            stacklevel=2,
        )


def _warn_of_levels(neuron: Any, state_dict: dict[str, Any], prefix: str) -> None:
    """Warn where a float state brings another threshold than that which levels are multiples of."""
    spec = getattr(neuron, "quant_spec", None)
    if spec is None or spec.membrane.in_units_of(2.0) == spec.membrane:
        return
    for key in ("threshold", "v_threshold"):
        own, given = getattr(neuron, key, None), state_dict.get(prefix + key)
        if not isinstance(own, Tensor) or not isinstance(given, Tensor) or own.is_meta:
            continue
        own, given = own.detach().double().cpu(), given.detach().double().cpu()
        if own.numel() == 1 and bool((given != own).any()):
            name = prefix.removesuffix(".")
            warnings.warn(
                f"the state has another threshold of {name} than {float(own):g}, for which its "
                "levels are: load a float state before inject, or give inject absolute_levels=True "
                "if that is meant",
                QSNNWarning,
                stacklevel=2,
            )


@dataclass
class _Load:
    """What modules have found in one `load_state_dict`, for which torch makes a new list."""

    missing_keys: list[str]
    says_something: bool = False
    is_warned: bool = False
    float_weights: list[str] = field(default_factory=list)
    refused: int = 0


_newest = _Load([])


def _current(missing_keys: list[str]) -> _Load:
    global _newest
    if _newest.missing_keys is not missing_keys:
        _newest = _Load(missing_keys)
    return _newest
