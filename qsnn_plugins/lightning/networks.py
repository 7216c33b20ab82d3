"""What a training asks of a network and of an optimizer, before any data are read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import WeightDecayOn, parameter_groups

__all__ = ["SharedFactory", "build_optimizer", "check_optimizer", "output_count"]


class SharedFactory(partial[Any]):
    """A function that copies of a module share.

    What the command line's parser makes of an optimizer's class holds on to the parser, and so to
    the trainer, which cannot be copied; callbacks that average weights copy the module.

    Example:
        >>> from copy import deepcopy
        >>> build = SharedFactory(torch.optim.Adam)
        >>> deepcopy(build) is build
        True
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedFactory:
        """Return itself."""
        return self


def output_count(network: nn.Module) -> int:
    """Return the number of a network's outputs.

    Raises:
        ArgumentError: If it does not say it, or cannot forget a batch.

    Example:
        >>> output_count(nn.ReLU())
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: network='ReLU' is not allowed: give one with \
out_channels, the number of its outputs, and a method reset_states()
    """
    outputs = getattr(network, "out_channels", None)
    if type(outputs) is int and outputs > 0 and callable(getattr(network, "reset_states", None)):
        return outputs
    allowed = "one with out_channels, the number of its outputs, and a method reset_states()"
    raise ArgumentError("network", type(network).__name__, allowed)


def check_optimizer(build: Callable[[Any], Any]) -> None:
    """Refuse something that is not an optimizer, or options that the optimizer does not accept.

    Raises:
        ArgumentError: See above.

    Example:
        >>> check_optimizer(partial(torch.optim.SGD, lr=-1.0))
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: optimizer='SGD' is not allowed: give options that it \
takes (Invalid learning rate: -1.0)
    """
    # the parser hands the class to a function of its own
    called = (build.func, *build.args) if isinstance(build, partial) else (build,)
    name = next((each.__name__ for each in called if isinstance(each, type)), str(build))
    try:
        built = build([nn.Parameter(torch.zeros(1, 1))])
    except RuntimeError:
        return  # what depends on the device is said where the weights are there
    except (TypeError, ValueError) as error:
        allowed = f"options that it takes ({error})"
        raise ArgumentError("optimizer", name, allowed) from error
    if not isinstance(built, Optimizer):
        raise ArgumentError("optimizer", name, "a class of torch.optim, or a similar one")


def build_optimizer(
    build: Callable[[Any], Optimizer], network: nn.Module, weight_decay_on: WeightDecayOn = "all"
) -> Optimizer:
    """Build an optimizer for a network, with `parameter_groups` if it has weight decay.

    Optimizers without weight decay, such as LBFGS, may accept only a single group.

    Args:
        build: Makes an optimizer of parameters or groups of them.
        network: The network.
        weight_decay_on: See `parameter_groups`.

    Example:
        >>> build_optimizer(torch.optim.LBFGS, nn.Linear(3, 2)).defaults["lr"]
        1
    """
    optimizer = build(network.parameters())
    if "weight_decay" in optimizer.defaults:
        return build(parameter_groups(network, weight_decay_on))
    return optimizer
