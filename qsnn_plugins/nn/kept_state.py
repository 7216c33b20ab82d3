"""Detection of states that are kept from an earlier batch."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.errors import StateError

__all__ = ["watch_state"]

# far enough to come past the store to the step before, in either host's order of a step
_DEPTH = 32


def watch_state(state: Tensor, reset: str) -> None:
    """Raise a clear error if a backward pass reaches a state whose graph is gone.

    A backward pass frees the graph that it went through. If the states are not reset after it, the
    next one goes there again, which torch reports as "a second time".

    Args:
        state: The state that a forward begins with.
        reset: What resets it, in words. A backward that reaches the state raises a `StateError`
            with it where the state's graph was freed.

    Example:
        >>> from qsnn_plugins.functional import nearest_level
        >>> state = nearest_level(torch.ones(1, requires_grad=True))
        >>> state.sum().backward()
        >>> watch_state(state, "reset_net(network)")
        >>> state.sum().backward()
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.StateError: a neuron's state still belongs to an earlier batch, whose \
backward has run: call reset_net(network) before each batch
    """
    if torch.compiler.is_compiling() or not state.requires_grad or state.is_leaf:
        return
    node: Any = state.grad_fn
    # the node holds the hook: a reference back would keep the graph until garbage is collected
    own = weakref.ref(node) if hasattr(type(node), "_raw_saved_tensors") else lambda: None
    behind = [each for each, _ in node.next_functions]

    def check(_: Tensor) -> None:
        if _is_freed([own(), *behind]):
            raise StateError(reset)

    state.register_hook(check)


def _is_freed(nodes: Sequence[Any]) -> bool:
    """Whether a backward went through one of some functions, or of the nearest behind them."""
    nodes = [node for node in nodes if node is not None]
    for node in nodes:
        try:
            node._raw_saved_tensors  # noqa: B018
        except AttributeError:  # an operator of torch, which cannot be asked
            pass
        except RuntimeError:
            return True
        found = (behind for behind, _ in node.next_functions)
        nodes += [behind for behind in found if behind is not None and behind not in nodes]
        if len(nodes) > _DEPTH:
            break
    return False
