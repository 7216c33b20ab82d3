"""What a neuron's state remembers of the batch before."""

from __future__ import annotations

import torch
from torch import Tensor

from qsnn_plugins.errors import StateError

__all__ = ["watched_state"]

# far enough to come past the store to the step before, in either host's order of a step
_DEPTH = 32


def watched_state(state: Tensor, reset: str) -> Tensor:
    """Return a state whose gradient says so where the graph behind it is gone.

    A backward frees what it went through. A state that is kept across it leads the next backward
    there again, which torch calls "a second time": what is missing is a reset.

    Args:
        state: The state that a forward begins with.
        reset: What resets it, in words.

    Raises:
        StateError: At a backward that reaches a state whose graph was freed.

    Example:
        >>> weight = torch.ones(1, requires_grad=True)
        >>> state = weight.exp().sigmoid()
        >>> state.sum().backward()
        >>> watched_state(state, "reset_net(network)") is state  # of nothing but operators of torch
        False
    """
    if torch.compiler.is_compiling() or not state.requires_grad or state.is_leaf:
        return state
    behind, kept = state.grad_fn, state.view_as(state)

    def check(_: Tensor) -> None:
        if _is_freed(behind):
            raise StateError(reset)

    kept.register_hook(check)
    return kept


def _is_freed(node: object) -> bool:
    """Whether a backward went through one of the nearest functions behind a node, and freed it."""
    nodes = [node]
    for each in nodes:
        try:
            each._raw_saved_tensors  # type: ignore[attr-defined]  # noqa: B018
        except AttributeError:  # an operator of torch, which cannot be asked
            pass
        except RuntimeError:
            return True
        found = (behind for behind, _ in each.next_functions)  # type: ignore[attr-defined]
        nodes += [behind for behind in found if behind is not None and behind not in nodes]
        if len(nodes) > _DEPTH:
            break
    return False
