"""The weights' part of a spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.scale import check_bits
from qsnn_plugins.spec.checks import check_choice

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
]
FirstLast = Literal["same", "float", "eight_bit"]
Fidelity = Literal["paper", "released"]


class _Option(NamedTuple):
    """What an option of a kind may be; the first where the paper is followed."""

    choices: tuple[str, ...]
    released: str


class _Kind(NamedTuple):
    """Widths and options of a kind."""

    bits: tuple[int, ...]
    options: dict[str, _Option]


_GRID = _Kind(
    bits=(2, 3, 4, 5, 6, 7, 8),
    options={
        "scale": _Option(("power_of_two", "learned"), released="learned"),
        "regulation": _Option(("none", "layer", "channel"), released="layer"),
    },
)
_KINDS: dict[str, _Kind] = {
    "float": _Kind(bits=(1, 2, 3, 4, 5, 6, 7, 8), options={}),
    "power_of_two": _GRID,
    "additive_power_of_two": _GRID,
    "uniform": _Kind(
        bits=(1, 2, 3, 4, 5, 6, 7, 8),
        options={
            "scale": _Option(("learned", "max"), released="learned"),
            "per": _Option(("layer", "channel"), released="layer"),
        },
    ),
    "binary": _Kind(
        bits=(1,),
        options={
            "scale": _Option(("mean", "power_of_two"), released="power_of_two"),
            "per": _Option(("channel", "layer"), released="channel"),
            "regulation": _Option(("layer", "channel", "none"), released="channel"),
            "gradient": _Option(
                ("clipped_straight_through", "straight_through", "ede"), released="ede"
            ),
        },
    ),
    "statistical": _Kind(bits=(2, 3, 4, 5, 6, 7, 8), options={}),
    "mint": _Kind(
        bits=(2, 3, 4, 5, 6, 7, 8),
        options={"scale": _Option(("learned", "max"), released="learned")},
    ),
    "sigmoid": _Kind(
        bits=(1, 2, 4, 8),
        options={"thresholds": _Option(("middle", "k_means"), released="k_means")},
    ),
}


@dataclass(frozen=True)
class WeightSpec:
    """How the weights of Conv and Linear layers are stored.

        kind                     source                           class in `nn`
        float                    32 bits                          none
        power_of_two             SpQuant-SNN Eq. 14-18            PowerOfTwo
        additive_power_of_two    APoT, named by SpQuant-SNN       AdditivePowerOfTwo
        uniform                  bit budget Eq. 5                 Uniform
        binary                   Q-SNN Eq. 6, 7, 14               Binary
        statistical              the code of IM-SNN, SpQuant-SNN  Statistical
        mint                     MINT, the peer                   Mint
        sigmoid                  third paper, Eq. 6-9             SigmoidQuantizer

    An option that is None is what `fidelity` has it be; the classes say what each value does.

    Args:
        kind: How a weight is quantized.
        bits: Bits a weight: 1 to 8, as far as the kind has them.
        first_last: What the first and the last layer get: the "same" as the others (the papers'
            memory figures count them so), "float", or "eight_bit" (Q-SNN), which is `nn.Uniform`
            with 8 bits and max|w| as its scale.
        fidelity: "paper", the default, follows the paper with its misprints mended; "released"
            the published code: APoT's for grids, Q-SNN's for binary, Yang's for sigmoid. The
            others have one form.
        scale: What scales the levels: power_of_two or learned for grids, learned or max for
            uniform and mint, mean or power_of_two for binary.
        per: Whether uniform and binary have a scale a layer or a channel.
        regulation: Whether grids and binary standardise a layer, a channel or none first.
        gradient: Backward of binary: clipped_straight_through, straight_through or ede.
        thresholds: Those of sigmoid: middle or k_means.
        temperature_rate: What an epoch adds to the temperature of sigmoid, 0 or above.

    Raises:
        ArgumentError: If a value is not allowed, or given for a kind that has no such option.

    Example:
        >>> WeightSpec(kind="power_of_two", bits=4).storage_bits
        4
        >>> WeightSpec(kind="binary", bits=1, fidelity="released", regulation="layer").options
        {'scale': 'power_of_two', 'per': 'channel', 'regulation': 'layer', 'gradient': 'ede'}
        >>> WeightSpec(kind="mint", per="channel")
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: weight.per='channel' is not allowed: give None for mint
    """

    kind: WeightKind = "float"
    bits: int = 4
    first_last: FirstLast = "same"
    fidelity: Fidelity = "paper"
    scale: str | None = None
    per: str | None = None
    regulation: str | None = None
    gradient: str | None = None
    thresholds: str | None = None
    temperature_rate: float | None = None

    def __post_init__(self) -> None:
        check_choice("weight.kind", self.kind, WeightKind)
        check_choice("weight.first_last", self.first_last, FirstLast)
        check_choice("weight.fidelity", self.fidelity, Fidelity)
        self._check_bits()
        if self.kind == "float" and self.first_last == "eight_bit":
            raise ArgumentError(
                "weight.first_last", self.first_last, "same or float where the kind is float"
            )
        for name in ("scale", "per", "regulation", "gradient", "thresholds"):
            self._check_option(name)
        rate = self.temperature_rate
        if rate is not None and self.kind != "sigmoid":
            raise ArgumentError("weight.temperature_rate", rate, f"None for {self.kind}")
        if rate is not None and not rate >= 0:
            raise ArgumentError("weight.temperature_rate", rate, "a number from 0")

    def _check_bits(self) -> None:
        allowed = _KINDS[self.kind].bits
        check_bits("weight.bits", self.bits, allowed[0], allowed[-1])
        if self.bits not in allowed:
            widths = ", ".join(map(str, allowed))
            raise ArgumentError("weight.bits", self.bits, f"one of {widths} for {self.kind}")

    def _check_option(self, name: str) -> None:
        value, option = getattr(self, name), _KINDS[self.kind].options.get(name)
        if value is None:
            return
        if option is None:
            raise ArgumentError(f"weight.{name}", value, f"None for {self.kind}")
        if value not in option.choices:
            choices = ", ".join(sorted(option.choices))
            raise ArgumentError(f"weight.{name}", value, f"one of {choices} for {self.kind}")

    @property
    def options(self) -> dict[str, Any]:
        """Options of the kind as they are used, None replaced by what `fidelity` has."""
        return {
            name: getattr(self, name)
            or (option.released if self.fidelity == "released" else option.choices[0])
            for name, option in _KINDS[self.kind].options.items()
        }

    @property
    def storage_bits(self) -> int:
        """Bits that one stored weight takes; the first and the last layer may differ."""
        return 32 if self.kind == "float" else self.bits
