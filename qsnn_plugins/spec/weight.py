"""The weight part of a spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from qsnn_plugins.spec.checks import choice, number
from qsnn_plugins.spec.custom import CUSTOM, build_custom, import_path
from qsnn_plugins.spec.options import NOT_GIVEN, Kind, KindPart, Option

__all__ = ["Fidelity", "FirstLast", "WeightKind", "WeightSpec"]

WeightKind = Literal[
    "float",
    "power_of_two",
    "additive_power_of_two",
    "uniform",
    "binary",
    "statistical",
    "mint",
    "sigmoid",
    "custom",
]
FirstLast = Literal["same", "float", "eight_bit"]
Fidelity = Literal["paper", "released"]


def _one_of(*values: str, released: str | None = None) -> Option:
    """Return an option whose first choice is the default; `released` is the default of the code."""
    return Option(choice(values), values[0], released)


def _kind(name: str, bits: Option, **options: Option) -> Kind:
    """Return a kind that the class of a name in `nn` carries out."""
    return Kind(f"qsnn_plugins.nn.{name}", {"bits": bits, "first_last": _FIRST_LAST, **options})


# what the spec reads by itself, for any kind and for kinds with two forms
_FIRST_LAST = Option(choice(FirstLast), "same", is_argument=False)
_FIDELITY = Option(choice(Fidelity), "paper", is_argument=False)
_BITS = Option(choice(range(2, 9)), 4)
_GRID = {
    "fidelity": _one_of("paper", "released"),
    "scale": _one_of("power_of_two", "learned", released="learned"),
    "regulation": _one_of("none", "layer", "channel", released="layer"),
}
_KINDS = {
    "float": Kind("torch.nn.Identity", {}),
    "power_of_two": _kind("PowerOfTwo", _BITS, **_GRID),
    "additive_power_of_two": _kind("AdditivePowerOfTwo", _BITS, **_GRID),
    "uniform": _kind(
        "Uniform",
        Option(choice(range(1, 9)), 4),
        scale=_one_of("learned", "max"),
        per=_one_of("layer", "channel"),
    ),
    "binary": _kind(
        "Binary",
        Option(choice((1,)), 1, is_argument=False),
        fidelity=_FIDELITY,
        scale=_one_of("mean", "power_of_two", released="power_of_two"),
        per=_one_of("channel", "layer"),
        regulation=_one_of("layer", "channel", "none", released="channel"),
        gradient=_one_of("clipped_straight_through", "straight_through", "ede", released="ede"),
    ),
    "statistical": _kind("Statistical", _BITS),
    "mint": _kind("Mint", _BITS, scale=_one_of("learned", "max")),
    "sigmoid": _kind(
        "SigmoidQuantizer",
        Option(choice((1, 2, 4, 8)), 4),
        fidelity=_one_of("paper", "released"),
        thresholds=_one_of("middle", "k_means", released="k_means"),
        temperature_rate=Option(number("a number from 0", lambda x: x >= 0), 2.0, 5.0),
    ),
    "custom": Kind("", {**CUSTOM, "first_last": _FIRST_LAST}),
}


@dataclass(frozen=True)
class WeightSpec(KindPart):
    """How the weights of layers are stored, see `nn.weight_layers`.

        kind                     source                           class in `nn`
        float                    32 bits                          none
        power_of_two             SpQuant-SNN Eq. 14-18            PowerOfTwo
        additive_power_of_two    APoT, named by SpQuant-SNN       AdditivePowerOfTwo
        uniform                  bit budget Eq. 5                 Uniform
        binary                   Q-SNN Eq. 6, 7, 14               Binary
        statistical              the code of IM-SNN, SpQuant-SNN  Statistical
        mint                     MINT, the peer                   Mint
        sigmoid                  Shymyrbay et al., Eq. 6-9        SigmoidQuantizer
        custom                   yours                            `class_path`

    An option that is None has its default if the kind uses it. Giving an option that the kind does
    not use is an error. The classes explain the values.

    A module of your own, kind "custom", has `forward(weight)` that returns a tensor of the same
    shape, `bits`, and `codes(weight)` that returns integer codes and a unit (a scalar, or shape
    [out, 1, ...]), such that codes * unit is what forward returns in eval mode. Codes are signed
    integers with this number of bits (-1 and 1 for one bit), unless the module has `levels`, a
    tuple of the integers that occur. If the constructor has a parameter `weight`, it gets the
    weight of the layer; if the module has `set_epoch(epoch, epochs)`, it is called in each epoch.

    Args:
        kind: How a weight is quantized; "float" by default, or "custom" if `class_path` is given.
        bits: Bits per weight: 1 to 8, within the range of the kind. 4 by default, 1 for binary.
        first_last: Weights of the first and the last layer: the "same" as the others (default, as
            in the memory figures of the papers), "float", or "eight_bit" (Q-SNN), which is
            `nn.Uniform` with 8 bits and the scale max|w|.
        fidelity: "paper" (default) follows the paper, with misprints corrected; "released" follows
            the published code: APoT's for the powers of two, Q-SNN's for binary, Yang's for
            sigmoid. The other kinds have only one form and do not use it.
        scale: Scale of the levels: power_of_two or learned for the powers of two, learned or max
            for uniform and mint, mean or power_of_two for binary.
        per: One scale per layer or per channel, for uniform and binary.
        regulation: Whether the powers of two and binary first standardise the weights per layer,
            per channel or not at all.
        gradient: Gradient of binary: clipped_straight_through, straight_through or ede.
        thresholds: Thresholds of sigmoid: middle or k_means.
        temperature_rate: Increase of the temperature of sigmoid per epoch, 0 or above.
        class_path: Import path of your own module; `WeightSpec.custom` takes the class itself.
        init_args: Arguments of its constructor, plain values.

    Raises:
        ArgumentError: If a value is not allowed, or given for an option that this kind does not
            use.

    Example:
        >>> WeightSpec(kind="power_of_two", bits=4).storage_bits
        4
        >>> WeightSpec(kind="binary", fidelity="released", regulation="layer").options
        {'scale': 'power_of_two', 'per': 'channel', 'regulation': 'layer', 'gradient': 'ede'}
        >>> WeightSpec(kind="mint", per="channel")
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: weight.per='channel' is not allowed: \
give None for kind 'mint'; 'uniform' and 'binary' read it
    """

    _part, _kinds, _default_kind = "weight", _KINDS, "float"

    kind: WeightKind = NOT_GIVEN
    bits: int = NOT_GIVEN
    first_last: FirstLast = NOT_GIVEN
    fidelity: Fidelity = NOT_GIVEN
    scale: str = NOT_GIVEN
    per: str = NOT_GIVEN
    regulation: str = NOT_GIVEN
    gradient: str = NOT_GIVEN
    thresholds: str = NOT_GIVEN
    temperature_rate: float = NOT_GIVEN

    @classmethod
    def custom(
        cls, quantizer: type, /, *, first_last: FirstLast = "same", **init_args: Any
    ) -> WeightSpec:
        """Return the spec of a weight quantizer of your own.

        Args:
            quantizer: Its class; see above for the attributes that it needs.
            first_last: See above.
            **init_args: Arguments of its constructor, plain values.

        Raises:
            ArgumentError: If the class cannot be imported by its path, or a value is not a plain
                value.
        """
        return cls(first_last=first_last, class_path=import_path(quantizer), init_args=init_args)

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of that module, in addition to the weight."""
        if self.kind == "custom":
            return self.init_args
        options = _KINDS[self.kind].options.items()
        return {name: getattr(self, name) for name, option in options if option.is_argument}

    @property
    def storage_bits(self) -> int:
        """Bits per stored weight; the first and the last layer may differ."""
        if self.kind == "custom":
            return build_custom(self, torch.linspace(-1, 1, 16).reshape(4, 4)).bits
        return 32 if self.kind == "float" else self.bits

    def __str__(self) -> str:
        """Describe the kind and its options in words."""
        if self.kind == "custom":
            return self._call()
        return f"{self.kind}, {self.storage_bits} bit{'s' * (self.storage_bits > 1)}"
