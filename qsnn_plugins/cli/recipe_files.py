"""Recipes as they lie in their files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from qsnn_plugins.cli.failures import RecipeError

_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """YAML as jsonargparse reads it, 1e-3 is a number too, in which no key comes twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        known: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                if key.value in known:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} comes twice", key.start_mark
                    )
                known.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def load_yaml(text: str) -> Any:
    """Read plain values.

    Raises:
        yaml.YAMLError: If the text is no YAML.

    Example:
        >>> load_yaml("[1e-3, two]")
        [0.001, 'two']
    """
    return yaml.load(text, _Loader)


def read_with_bases(
    file: Path, above: tuple[Path, ...] = ()
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield a recipe's content behind that of the recipes that it stands on."""
    if file.resolve() in above:
        raise RecipeError(f"{file}: base leads back to itself")
    content = _read(file)
    if (base := content.pop("base", None)) is not None:
        yield from read_with_bases(file.parent / str(base), (*above, file.resolve()))
    yield file, content


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        near = get_close_matches(file.name, [p.name for p in file.parent.glob("*.yaml")], n=1)
        hint = f"; did you mean {file.parent / near[0]}?" if near else ""
        raise RecipeError(f"there is no recipe {file}{hint}")
    try:
        content = load_yaml(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(error, "problem", error)
        raise RecipeError(f"{file} cannot be read as YAML: {where}{problem}") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{file} is not a recipe: it has none of the keys model, data, trainer")
    return content
