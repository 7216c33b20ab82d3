"""Check that each class in a recipe has the type that its argument expects, before any is called.

The parser builds anything that a `class_path` names, even for an argument without a type, and also
calls functions. Here a class must have the type that its argument expects.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from jsonargparse import Namespace
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Dataset, Sampler

from qsnn_plugins.cli.composition import Composition, Keys
from qsnn_plugins.cli.failures import RecipeError, article
from qsnn_plugins.cli.signatures import (
    arguments,
    classes_of,
    dataclass_of,
    find_class,
    is_instance_of,
    item_hint,
    returned_type,
)

# What an argument without a type takes.
_UNTYPED = (
    nn.Module,
    LightningDataModule,
    Callback,
    Logger,
    Optimizer,
    LRScheduler,
    Dataset,
    Sampler,
)


def check_classes(parsed: Any, recipes: Composition) -> None:
    """Refuse a class or function that its argument does not expect.

    Args:
        parsed: A configuration as the parser leaves it, files that it names read and nothing built.
        recipes: What it came from.

    Raises:
        RecipeError: The place, and what may stand there.
    """
    hints = {f"trainer.{key}": argument.hint for key, argument in arguments(Trainer).items()}
    hints |= {"model": LightningModule, "data": LightningDataModule}
    for key, hint in hints.items():
        _check(recipes, tuple(key.split(".")), parsed.get(key), hint)


def _check(recipes: Composition, path: Keys, value: Any, hint: Any) -> None:
    value = vars(value) if isinstance(value, Namespace) else value
    part = dataclass_of(hint)
    known = arguments(part) if part is not None else {}
    if isinstance(value, dict) and "class_path" in value and "class_path" not in known:
        named = find_class(value["class_path"])
        _check_named(recipes, (*path, "class_path"), value["class_path"], named, hint)
        known, item, path = arguments(named), Any, (*path, "init_args")
        value = value.get("init_args") or {}
        value = vars(value) if isinstance(value, Namespace) else value
    elif callable(value) and not isinstance(value, type):
        _check_named(recipes, path, getattr(value, "__name__", value), value, hint)
        return
    else:
        item = item_hint(hint)
    inner = dict(enumerate(value)) if isinstance(value, list | tuple) else value
    if isinstance(inner, dict):
        for key, each in inner.items():
            _check(recipes, (*path, str(key)), each, known[key].hint if key in known else item)


def _check_named(recipes: Composition, path: Keys, name: Any, named: Any, hint: Any) -> None:
    part = dataclass_of(hint)
    bases = classes_of(hint) + ((part,) if part is not None else ())
    if not bases and not isinstance(named, type) and path[-1] != "class_path":
        returned = returned_type(hint)
        if returned is None:
            return  # a function for an argument that is any function
        bases = (returned,)
    is_own_data = not bases and dataclasses.is_dataclass(named)
    if named is not None and (is_own_data or is_instance_of(named, bases or _UNTYPED)):
        return
    place = recipes.place(path)
    name = place.value if place is not None and isinstance(place.value, str) else name
    words = " or ".join(base.__name__ for base in bases or _UNTYPED)
    why = "" if bases else ", and its argument has no other type"
    raise RecipeError(f"{place}: {name} is not {article(words)} {words}{why}")
