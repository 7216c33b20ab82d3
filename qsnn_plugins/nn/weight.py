"""Weight quantizers as parametrizations of the layers that people have."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils import parametrize

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.weight import power_of_two, power_of_two_grid, round_to_power_of_two
from qsnn_plugins.spec import WeightSpec

__all__ = ["PowerOfTwo", "quantize_weights", "weight_layers"]

WeightLayer = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear


class PowerOfTwo(nn.Module):
    """Parametrization that puts a layer's weight on the power-of-two grid.

    α starts at three standard deviations of the weight, learns, and is used as the nearest power
    of two (SpQuant-SNN Eq. 14), so that a product with a spike is a shift.

    Args:
        weight: The weight that is going to be quantized, any shape; it sets the first α.
        bits: Bits a weight, from 2 to 8.

    Raises:
        ArgumentError: If `bits` is not allowed.

    Example:
        >>> import torch
        >>> layer = nn.Linear(4, 3)
        >>> quantizer = PowerOfTwo(layer.weight, bits=4)
        >>> _ = parametrize.register_parametrization(layer, "weight", quantizer)
        >>> bool(torch.isin(layer.weight / quantizer.scale, torch.tensor(quantizer.levels)).all())
        True
    """

    def __init__(self, weight: Tensor, bits: int = 4) -> None:
        super().__init__()
        magnitudes = power_of_two_grid(bits)
        self.bits = bits
        self.levels = (*(-m for m in reversed(magnitudes[1:])), *magnitudes)
        spread = 3 * weight.detach().float().std(correction=0)
        self.alpha = nn.Parameter(spread.clamp(min=2.0**-14))

    @property
    def scale(self) -> Tensor:
        """The power of two that α is used as."""
        return round_to_power_of_two(self.alpha)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the quantized weight."""
        return power_of_two(weight, self.scale.to(weight.dtype), self.bits)

    def extra_repr(self) -> str:
        """Name the bits."""
        return f"bits={self.bits}"


def weight_layers(network: nn.Module) -> dict[str, WeightLayer]:
    """List the Conv and Linear layers of a network by name, in the order of their definition.

    Example:
        >>> list(weight_layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))))
        ['0', '2']
    """
    return {n: m for n, m in network.named_modules() if isinstance(m, WeightLayer)}


def quantize_weights(network: nn.Module, spec: WeightSpec) -> list[str]:
    """Parametrize the weights of a network's Conv and Linear layers in place.

    `state_dict` keeps the float weight; `parametrize.remove_parametrizations` bakes the quantized
    one in.

    Args:
        network: Any network.
        spec: The weight's part of a `QuantSpec`.

    Returns:
        Names of the layers that were quantized.

    Raises:
        ArgumentError: If a weight of the network is parametrized already.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1))
        >>> quantize_weights(network, WeightSpec(kind="power_of_two", ends="float"))
        ['1']
    """
    if spec.kind == "float":
        return []
    layers = list(weight_layers(network).items())
    if spec.ends == "float":
        layers = layers[1:-1]
    for name, layer in layers:
        if parametrize.is_parametrized(layer, "weight"):
            raise ArgumentError(f"{name}.weight", "parametrized", "a layer with a plain weight")
    for _, layer in layers:
        quantizer = PowerOfTwo(layer.weight, spec.bits)
        parametrize.register_parametrization(layer, "weight", quantizer)
    return [name for name, _ in layers]
