"""A composed recipe made ready for the parser: specs expanded, and what follows from the data."""

# ruff: noqa: E402
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from types import NoneType
from typing import Any, get_args

from qsnn_plugins.torchvision_ops import register_missing_ops

register_missing_ops()  # Lightning imports torchvision, which may need it

from jsonargparse import ArgumentParser
from lightning import LightningDataModule

from qsnn_plugins import presets
from qsnn_plugins.cli.composition import Composition, Place, is_spec
from qsnn_plugins.cli.doors import check_classes
from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.cli.signatures import arguments, dataclass_of, find_class
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec import QuantSpec

# packages of ours whose classes answer to their short names once they are imported
_SHORT_NAMES_FROM = ("lightning", "data", "models")
# what a network takes from its data where the recipe does not give it
_FACTS = ("classes", "in_channels", "input_size")


def resolve(composition: Composition, input_shape: Sequence[int] | None = None) -> None:
    """Finish a composed configuration, in place.

    Args:
        composition: What the command line asks for.
        input_shape: Shape [T, N, C, H, W] of the network's input where it is not the data's.

    Raises:
        RecipeError: A spec is not allowed; the error names the place.
        QSNNError: The data module refused its arguments.
    """
    for name in _SHORT_NAMES_FROM:
        package = import_module(f"qsnn_plugins.{name}")
        for exported in package.__all__:
            getattr(package, exported)  # some packages import a class when it is asked for
    _drop_stale(composition)
    _drop_resets(composition.config)
    for path, node, key in list(_specs(composition.config)):
        node[key] = _expanded(composition, (*path, key), node[key])
    _link(composition, input_shape)


def _drop_stale(composition: Composition) -> None:
    """Drop what was kept when a class or a kind changed and the new one does not have.

    An option of the command line stays, and is refused.
    """
    for path, kept in composition.inherited.items():
        node: Any = composition.config
        for key in path[:-1]:
            node = node[int(key)] if isinstance(node, list) else node[key]
        stale: set[str] = set()
        if path[-1] != "init_args":
            stale = kept if node[path[-1]]["kind"] != _kind_without(node, path[-1]) else stale
        elif (named := find_class(node["class_path"])) is not None:
            stale = kept - set(arguments(named))
        for key in stale:
            place = composition.places.get((*path, key))
            if place is None or place.file is not None:
                node[path[-1]].pop(key, None)


def _drop_resets(node: Any) -> None:
    """Drop what null resets: arguments of a class that may not be None."""
    if isinstance(node, list):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        return
    for value in node.values():
        _drop_resets(value)
    given = node.get("init_args")
    if isinstance(given, dict) and (named := find_class(node.get("class_path"))) is not None:
        known = arguments(named)
        for key in [key for key, value in given.items() if value is None and key in known]:
            if known[key].hint is not Any and NoneType not in get_args(known[key].hint):
                del given[key]


def _kind_without(spec: dict[str, Any], part: str) -> str | None:
    """The kind that a part of a spec has where none is given: the preset's, or the default."""
    others = {key: value for key, value in spec.items() if key != part}
    try:
        found = presets.resolve(_without_nulls(others), lambda *_: True)
    except ArgumentError:  # said when the whole spec is expanded
        return None
    return getattr(getattr(found, part, None), "kind", None)


def _specs(
    node: object, path: tuple[str, ...] = (), owner: Callable[..., Any] | None = None
) -> Iterator[tuple[tuple[str, ...], dict[str, Any], str]]:
    """Every key at which a spec stands, with the mapping that holds it."""
    if isinstance(node, list):
        for number, item in enumerate(node):
            yield from _specs(item, (*path, str(number)))
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if is_spec((*path, key)) and _takes_spec(owner, key):
            yield path, node, key
        else:
            named = find_class(node.get("class_path")) if key == "init_args" else None
            yield from _specs(value, (*path, key), named)


def _takes_spec(owner: Callable[..., Any] | None, key: str) -> bool:
    """Whether an argument is a spec, and not a class's own of the same name."""
    if owner is None or key not in arguments(owner):
        return True
    return dataclass_of(arguments(owner)[key].hint) is QuantSpec


def _expanded(composition: Composition, path: tuple[str, ...], value: Any) -> Any:
    """The plain values of a spec; None stays, and leaves a layer alone among overrides."""
    if value is None:
        return None
    try:
        return presets.resolve(
            _without_nulls(value),
            lambda part, argument: composition.is_overlaid((*path, argument), (*path, part)),
        ).to_dict()
    except ArgumentError as error:
        raise RecipeError(f"{_refused_at(composition, path, error)}: {error}") from None


def _refused_at(
    composition: Composition, path: tuple[str, ...], error: ArgumentError
) -> Place | None:
    """The place of an option, or of a key that there is not: that one is the error's value."""
    part = [name for name in error.argument.split(".") if name not in ("spec", *presets.NAMES)]
    return composition.places.get((*path, *part, str(error.value))) or composition.place(
        (*path, *part)
    )


def _without_nulls(value: Any) -> Any:
    """In a spec null resets an option."""
    if not isinstance(value, dict):
        return value
    return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}


def _link(composition: Composition, input_shape: Sequence[int] | None) -> None:
    """Give a network the classes, channels and size of its input that the recipe does not give."""
    model: Any = composition.config.get("model")
    outer: Any = (model.get("init_args") if isinstance(model, dict) else None) or {}
    network: Any = outer.get("network")
    if isinstance(network, str):
        network = outer["network"] = {"class_path": network}
    named = find_class(network.get("class_path")) if isinstance(network, dict) else None
    if named is None:
        return
    known: dict[str, Any] = {}
    if input_shape is not None and len(input_shape) == 5:
        known = {"in_channels": input_shape[2], "input_size": list(input_shape[3:])}
    given = network["init_args"] = network.get("init_args") or {}
    wanted = [key for key in _FACTS if key in arguments(named) and given.get(key) is None]
    if any(key not in known for key in wanted):
        known = _facts(composition) | known
    given.update({key: known[key] for key in wanted if key in known})


def _facts(composition: Composition) -> dict[str, Any]:
    """What a data module says of itself before any data are read."""
    data = composition.config.get("data")
    if data is None:
        return {}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    parsed = parser.parse_object({"data": data})
    check_classes(parsed, composition)
    module: Any = parser.instantiate_classes(parsed).data
    facts: dict[str, Any] = {}
    if (classes := getattr(module, "num_classes", None)) is not None:
        facts["classes"] = classes
    if (frame := getattr(module, "frame_shape", None)) is not None:
        channels, *size = frame
        facts |= {"in_channels": channels, "input_size": size}
    return facts
