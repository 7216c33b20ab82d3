"""What jsonargparse has against a recipe, in one sentence.

Its messages run over many lines and name a key by its last part. Here each becomes a sentence that
names the recipe, the whole key, and what may stand there instead. A message that no rule knows is
passed on, on one line.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from importlib import import_module
from re import Match

from qsnn_plugins.cli.recipes import Place, Recipes, find_class, known_classes

_LONGEST = 300


def distil(message: str, recipes: Recipes) -> str:
    """One sentence for a message of jsonargparse, 4.39 or later."""
    if fault := recipes.fault():
        return fault
    message = _innermost(message)
    for pattern, explain in _RULES:
        if match := re.search(pattern, message):
            return explain(match, message, recipes)
    return _one_line(message)


def _innermost(message: str) -> str:
    """The part about the key itself: what is around it repeats the classes that contain it."""
    inner = message[max(message.rfind('Parser key "'), 0) :]
    end = re.search(r"(?:Got|Given) value: .*", inner)
    return inner[: end.end()] if end else inner


def place_argument(reason: str, recipes: Recipes) -> str:
    """Put the place of a refused argument before `reason`, where the recipes hold it."""
    match = re.match(r"(\w+)=(.+?) is not allowed", reason)
    place = recipes.find(match[1], match[2].strip("'\"")) if match else None
    return f"{place}: {reason}" if place else reason


def _unknown_key(match: Match[str], _: str, recipes: Recipes) -> str:
    key = match["key"]
    place = recipes.find(key)
    if place is None:
        return f"{key} is not an option here"
    misfit = recipes.misfit(place)
    hint = _did_you_mean(misfit.place.keys[-1], misfit.accepted)
    return f"{misfit.place} is not accepted by {misfit.owner}{hint}"


def _unknown_option(match: Match[str], _: str, __: Recipes) -> str:
    return f"the command line has {match['key'].strip()}, which is no option here"


def _unknown_class(match: Match[str], message: str, recipes: Recipes) -> str:
    name = match["name"]
    place = recipes.find("class_path", name) or _of_value(recipes, name)
    told = re.search(r"Problem with given class_path[^\n]*\n\s*(?:- )?([^\n]+)", message)
    reason = f" ({told[1].strip()})" if told else ""
    return f"{_prefix(place)}there is no class {name}{reason}{_nearest_class(name)}"


def _wrong_class(match: Match[str], message: str, recipes: Recipes) -> str:
    key = re.match(r'Parser key "([^"]+)"', message)
    place = recipes.find(f"{key[1]}.class_path" if key else "class_path", match["name"])
    return f"{_prefix(place)}{match['name']} is not a {match['base']}"


def _wrong_value(match: Match[str], message: str, recipes: Recipes) -> str:
    value = re.search(r"(?:Got|Given) value: (.+)", message)
    got = value[1].strip() if value else None
    place = recipes.find(match["key"], got)
    kinds = re.findall(r"Expected an? (.+?)(?:\. Got value.*)?$", message, re.MULTILINE)
    expected = [kind for kind in map(_plain_type, dict.fromkeys(kinds)) if kind != "NoneType"]
    where = place or recipes.full_key(match["key"])
    if not expected:
        reason = message[match.end() :].strip().splitlines() or [message]
        return f"{where}: {_one_line(reason[0])}"
    return f"{where}: {got} is not allowed: give {' or '.join(expected)}"


def _missing(match: Match[str], _: str, __: Recipes) -> str:
    keys = re.sub(r"\b(fit|validate|test|predict)\.", "", match["keys"])
    return f"the recipe has no {keys}: give it with -c RECIPE or on the command line"


# The first that matches explains. What stands before it in the list is more particular.
_RULES = (
    (r"nrecognized arguments:(?P<key>.+)", _unknown_option),
    (r"does not accept (?:option|nested key) '(?P<key>[^']+)'", _unknown_key),
    (r"(?:Option|Key) '(?P<key>[^']+)' is not (?:accepted|expected)", _unknown_key),
    (r"Problem with given class_path '(?P<name>[^']+)'", _unknown_class),
    (r"Expected a dot import path string: (?P<name>\S+)", _unknown_class),
    (r"Import path (?P<name>\S+) does not correspond to a subclass of (?P<base>\S+)", _wrong_class),
    (r"arguments are required: (?P<keys>.+)", _missing),
    (r'Key "(?P<keys>[^"]+)" is required', _missing),
    (r'Parser key "(?P<key>[^"]+)":', _wrong_value),
)


def _of_value(recipes: Recipes, name: str) -> Place | None:
    """A class may stand alone, as in `network: Net`."""
    return next((place for place in recipes.places if place.value == name), None)


def _nearest_class(name: str) -> str:
    module, _, attribute = name.rpartition(".")
    if not module:
        return _did_you_mean(attribute, list(known_classes()))
    try:
        names = [n for n in dir(import_module(module)) if find_class(f"{module}.{n}")]
    except ImportError:
        return ""
    near = get_close_matches(attribute, names, n=1)
    return f"; did you mean {module}.{near[0]}?" if near else ""


def _did_you_mean(word: str, names: list[str]) -> str:
    near = get_close_matches(word, names, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _prefix(place: Place | None) -> str:
    return f"{place}: " if place else ""


def _plain_type(kind: str) -> str:
    kind = re.sub(r"<(?:class|enum) '(?:\w+\.)*(\w+)'>", r"\1", kind)
    if literal := re.fullmatch(r"(?:typing\.)?Literal\[(.+)\]", kind):
        return literal[1].replace(", ", " or ")
    return kind


def _one_line(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
