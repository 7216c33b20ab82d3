"""The callbacks that a module brings along, unless the trainer was given others of their kind."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule

__all__ = ["unless_given"]


def unless_given(module: LightningModule, *callbacks: Callback) -> list[Callback]:
    """Return those of whose class the trainer was given none: Lightning would replace what it has.

    Args:
        module: Of the trainer.
        callbacks: Those of the module.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from qsnn_plugins.lightning import StopOnDivergence, Throughput
        >>> module = LightningModule()
        >>> module.trainer = Trainer(callbacks=[Throughput(skip=5)], logger=False)
        >>> [type(each).__name__ for each in unless_given(module, Throughput(), StopOnDivergence())]
        ['StopOnDivergence']
    """
    trainer = module._trainer
    known = [] if trainer is None else trainer.callbacks  # type: ignore[attr-defined]
    # a trainer that has run another module still has that module's
    given = [each for each in known if not getattr(each, "is_of_module", False)]
    own = [each for each in callbacks if not any(isinstance(one, type(each)) for one in given)]
    for each in own:
        each.is_of_module = True  # type: ignore[attr-defined]
    return own
