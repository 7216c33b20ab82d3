"""One `QuantSpec` per paper.

`fidelity="paper"` follows the paper's equations, with misprints corrected; "released" follows the
code that the authors published. The default is always "paper": with it, the result for a sample
does not depend on the other samples in its batch, and the number of levels fits the bits.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import RELEASED_LEVELS
from qsnn_plugins.functional.spike import MOST_SPIKE_BITS
from qsnn_plugins.spec import (
    MembraneSpec,
    PruningSpec,
    QuantSpec,
    SpikeSpec,
    ThresholdSpec,
    WeightSpec,
)
from qsnn_plugins.spec.checks import boolean, choice
from qsnn_plugins.spec.options import check_keys, did_you_mean
from qsnn_plugins.spec.weight import Fidelity

__all__ = [
    "NAMES",
    "Fidelity",
    "bit_budget",
    "imsnn",
    "qsnn",
    "resolve",
    "sigmoid_quantizer",
    "spquant",
]


def _is_released(fidelity: str) -> bool:
    return choice(Fidelity)("fidelity", fidelity) == "released"


def _require_paper(fidelity: str) -> None:
    if _is_released(fidelity):
        raise ArgumentError("fidelity", fidelity, "'paper': its authors released no code")


def _spike(fidelity: Fidelity) -> SpikeSpec:
    return SpikeSpec(comparison="greater") if _is_released(fidelity) else SpikeSpec()


def _power_of_two(bits: int | None) -> WeightSpec:
    if bits is None:
        return WeightSpec()
    # from 5 bits on the pure powers of two only add ever smaller magnitudes
    return WeightSpec(kind="power_of_two" if bits <= 4 else "additive_power_of_two", bits=bits)


def _statistical(bits: int | None) -> WeightSpec:
    return WeightSpec() if bits is None else WeightSpec(kind="statistical", bits=bits)


def imsnn(weight_bits: int | None = 4, fidelity: Fidelity = "paper") -> QuantSpec:
    """IM-SNN: ternary membranes under a stacked surrogate gradient, power-of-two weights.

    Released: five levels from -3 to 1, the default of the code, and uniformly quantized weights up
    to 2 mean|w|, where the paper has powers of two. In all presets with "released", neurons fire
    above the threshold; with "paper", they use the comparison of the host.

    Args:
        weight_bits: Bits per weight (8, 4 and 2 in the paper), or None for float weights. With 5
            or more, weights are sums of powers of two.
        fidelity: "paper" or "released".

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> print(imsnn())
        membrane   levels, 2 bits (-1.0, 0.0, 1.0), stacked gradient (sigmoid, smoothness 2.0)
        spike      1 bit, triangle surrogate (sharpness 1.0)
        threshold  fixed
        weight     power_of_two, 4 bits
        pruning    none
    """
    choice((None, *range(2, 9)))("weight_bits", weight_bits)
    if _is_released(fidelity):
        return QuantSpec(
            MembraneSpec(levels=RELEASED_LEVELS),
            _spike(fidelity),
            weight=_statistical(weight_bits),
        )
    return QuantSpec(MembraneSpec(), weight=_power_of_two(weight_bits))


def spquant(
    weight_bits: int | None = 4, pruned: bool = True, fidelity: Fidelity = "paper"
) -> QuantSpec:
    """SpQuant-SNN: IM-SNN's membranes, learned thresholds with a separate gradient, and pruning.

    Released: no spatial masks (the call is commented out), untrained gates on the input of a
    convolution with a threshold of 0.5, uniformly quantized weights. The released threshold adds
    the ordinary gradient to the separate one, which is not implemented here.

    Args:
        weight_bits: Bits per weight (8, 4 and 2 in the paper), or None for float weights. With 5
            or more, weights are sums of powers of two.
        pruned: Whether it prunes; False is the paper's Quant-SNN.
        fidelity: "paper" or "released".

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> print(spquant().pruning)
        35 % of the neurons, channels that score up to 0.47
    """
    choice((None, *range(2, 9)))("weight_bits", weight_bits)
    boolean("pruned", pruned)
    threshold = ThresholdSpec(gradient="separate", fidelity=fidelity)
    if _is_released(fidelity):
        pruning = PruningSpec(channel_threshold=0.5, fidelity="released")
        weight = _statistical(weight_bits)
    else:
        pruning = PruningSpec(spatial_ratio=0.35, channel_threshold=0.47)
        weight = _power_of_two(weight_bits)
    return QuantSpec(
        spike=_spike(fidelity),
        threshold=threshold,
        weight=weight,
        pruning=pruning if pruned else PruningSpec(),
    )


def qsnn(membrane_bits: int = 2, fidelity: Fidelity = "paper") -> QuantSpec:
    """Q-SNN: binary weights, and membranes of a few bits with one scale per layer.

    The first and the last layer have 8-bit weights, so a network of two layers has no binary
    weights. Paper: Eq. 8 with 2^k - 1 levels, scaled by the maximum of the step in training and by
    its running average at evaluation; weights are regulated per layer and scaled by mean|w|.
    Released: tanh first, and the maximum also at evaluation, so that the result for a sample
    depends on its batch; weights are regulated per channel, scaled by a power of two, and trained
    with the EDE gradient.

    The maximum lies far above the threshold, so with 2 bits and without the tanh nearly all
    membranes are stored as 0 (docs/methods.md, A membrane's scale). A fixed scale keeps -1, 0 and
    1: `resolve({"preset": "qsnn", "membrane": {"scale": "fixed"}})`.

    Args:
        membrane_bits: Bits per membrane: 8, 4 and 2 in the paper.
        fidelity: "paper" or "released".

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> qsnn(membrane_bits=4).membrane.storage_bits
        4
    """
    choice(range(1, 9))("membrane_bits", membrane_bits)
    is_released = _is_released(fidelity)
    weight = WeightSpec(kind="binary", first_last="eight_bit", fidelity=fidelity)
    if is_released:
        membrane = MembraneSpec(
            kind="tanh", bits=membrane_bits, scale="step_max", evaluation="published"
        )
    else:
        membrane = MembraneSpec(
            kind="uniform",
            bits=membrane_bits,
            gradient="clipped_straight_through",
            scale="step_max",
        )
    return QuantSpec(membrane, _spike(fidelity), weight=weight)


def sigmoid_quantizer(weight_bits: int = 1, fidelity: Fidelity = "paper") -> QuantSpec:
    """Shymyrbay et al.: weights quantized by sigmoids that sharpen in training; float membranes.

    Args:
        weight_bits: Bits per weight: 8, 4, 2 (three levels) and 1 in the paper.
        fidelity: "paper"; its authors released no code.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> sigmoid_quantizer(fidelity="released")
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: fidelity='released' is not allowed: \
give 'paper': its authors released no code
    """
    _require_paper(fidelity)
    choice((1, 2, 4, 8))("weight_bits", weight_bits)
    return QuantSpec(
        MembraneSpec(kind="float"),
        SpikeSpec(surrogate="piecewise_leaky_relu"),
        weight=WeightSpec(kind="sigmoid", bits=weight_bits),
    )


def bit_budget(
    weight_bits: int = 1, spike_bits: int = 1, fidelity: Fidelity = "paper"
) -> QuantSpec:
    """Bit budget: spikes of several bits and low-bit weights, T · W · S bits per synapse.

    One-bit weights are a sign and a scale, since Eq. 5 would round to three levels. Spikes are
    multiplied by the threshold, as in Eq. 7, and clipped to their bits, which Eq. 7 does not print.
    The outputs of SEW blocks and the attention matrices of Spikformers are clipped as well (section
    6.3).

    Args:
        weight_bits: W, from 1 to 8.
        spike_bits: S, from 1 to 16.
        fidelity: "paper"; its authors released no code.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> print(bit_budget(weight_bits=4, spike_bits=2).spike)
        2 bits times the threshold, straight-through, sums limited
    """
    _require_paper(fidelity)
    choice(range(1, 9))("weight_bits", weight_bits)
    choice(range(1, MOST_SPIKE_BITS + 1))("spike_bits", spike_bits)
    if weight_bits == 1:
        weight = WeightSpec(kind="binary", regulation="none")
    else:
        weight = WeightSpec(kind="uniform", bits=weight_bits)
    return QuantSpec(
        MembraneSpec(kind="float"),
        SpikeSpec(bits=spike_bits, value="threshold", limit_sums=True),
        weight=weight,
    )


_PRESETS: dict[str, Callable[..., QuantSpec]] = {
    preset.__name__: preset for preset in (imsnn, spquant, qsnn, sigmoid_quantizer, bit_budget)
}
NAMES = tuple(_PRESETS)


# Arguments of presets, and the part of the spec that each of them says something of.
_ARGUMENTS = {
    "weight_bits": "weight",
    "membrane_bits": "membrane",
    "spike_bits": "spike",
    "pruned": "pruning",
}


def resolve(
    value: QuantSpec | str | Mapping[str, Any],
    may_overrule: Callable[[str, str], bool] = lambda part, argument: False,
) -> QuantSpec:
    """Return a spec from a preset's name, a mapping or a spec.

    Args:
        value: A spec; the name of a preset; or a mapping of parts. A mapping may also name a preset
            and give its arguments; the parts then change the preset. A part that names another kind
            or class keeps nothing of the preset, and others only what they still read. One that
            reads `fidelity` after its change, and gives none, has that of the preset.
        may_overrule: Whether a part may contradict an argument of the preset, as an overlay may; by
            default it may not.

    Raises:
        ArgumentError: If a name, a key or a value is not allowed, or a part contradicts an
            argument.

    Example:
        >>> resolve("imsnn") == imsnn()
        True
        >>> values = {"preset": "imsnn", "weight_bits": 2, "membrane": {"smoothness": 4.0}}
        >>> print(resolve(values))
        membrane   levels, 2 bits (-1.0, 0.0, 1.0), stacked gradient (sigmoid, smoothness 4.0)
        spike      1 bit, triangle surrogate (sharpness 1.0)
        threshold  fixed
        weight     power_of_two, 2 bits
        pruning    none
    """
    if isinstance(value, QuantSpec):
        return value
    if isinstance(value, str):
        value = {"preset": value}
    if not isinstance(value, Mapping):
        raise ArgumentError("spec", value, "a QuantSpec, a preset's name or a mapping")
    rest = dict(value)
    name = rest.pop("preset", None)
    if name is None:
        return QuantSpec.from_dict(rest)
    if name not in NAMES:
        allowed = f"one of {', '.join(NAMES)}{did_you_mean(name, NAMES)}"
        raise ArgumentError("preset", name, allowed)
    parameters = inspect.signature(_PRESETS[name]).parameters
    known = [*parameters, *(part.name for part in fields(QuantSpec))]
    check_keys(name, rest, known)
    spec = _with_preset(name, rest)
    _check_overruled(name, rest, spec, may_overrule)
    return spec


def _with_preset(name: str, values: Mapping[str, Any]) -> QuantSpec:
    parameters = inspect.signature(_PRESETS[name]).parameters
    spec = _PRESETS[name](**{key: value for key, value in values.items() if key in parameters})
    fidelity = values.get("fidelity")
    parts = {
        key: _changed(getattr(spec, key), part, fidelity)
        for key, part in values.items()
        if key not in parameters
    }
    return replace(spec, **parts)


def _check_overruled(
    name: str,
    values: Mapping[str, Any],
    spec: QuantSpec,
    may_overrule: Callable[[str, str], bool],
) -> None:
    """Refuse an argument of a preset that a part overrules."""
    parts = [key for key in values if hasattr(spec, key)]
    for argument, part in _ARGUMENTS.items():
        if argument in values and part in parts:
            given = getattr(spec, part)
            read = given.prunes if part == "pruning" else given.bits
            if read != values[argument] and not may_overrule(part, argument):
                allowed = f"None together with {part}, which says {given}"
                raise ArgumentError(argument, values[argument], allowed)
    if "fidelity" in values and not any(may_overrule(part, "fidelity") for part in parts):
        arguments_alone = {key: value for key, value in values.items() if key not in parts}
        if _is_unread("fidelity", name, values) and not _is_unread(
            "fidelity", name, arguments_alone
        ):
            allowed = f"None together with {' and '.join(parts)}, since nothing else uses it"
            raise ArgumentError("fidelity", values["fidelity"], allowed)


def _is_unread(argument: str, name: str, values: Mapping[str, Any]) -> bool:
    others = {key: value for key, value in values.items() if key != argument}
    return _with_preset(name, others) == _with_preset(name, values)


def _changed(part: Any, changes: Any, fidelity: str | None) -> Any:
    """Return a preset's part with some options changed; with another kind it starts anew."""
    if not isinstance(changes, Mapping) or "class_path" in changes:
        return changes
    kind = getattr(part, "kind", None)
    if changes.get("kind", kind) != kind:
        return changes
    # the preset could not say it where nothing read it
    if fidelity is not None and part.reads("fidelity", changes):
        changes = {"fidelity": fidelity, **changes}
    return part.changed(changes)
