"""What a command line gives: options, words for the parser, and recipes as they lie in files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from qsnn_plugins.cli.failures import RecipeError, did_you_mean

TOP_KEYS = (
    "trainer",
    "model",
    "data",
    "seed_everything",
    "ckpt_path",
    "weights_only",
    "verbose",
    "return_predictions",
)


def split_words(words: list[str]) -> tuple[list[Path], list[tuple[str, str]], list[str]]:
    """Take a command line apart.

    Returns:
        The files given with `-c`; the options, as keys with their values; words for the parser.

    Raises:
        RecipeError: An option does not exist, or lacks its value.

    Example:
        >>> split_words(["-c", "a.yaml", "--model.lr=1", "--help"])[1:]
        ([('model.lr', '1')], ['--help'])
    """
    files, options, rest = [], [], []
    pending = list(words)
    while pending:
        word = pending.pop(0)
        name, has_value, value = word.partition("=")
        if re.match("-c.", word):  # -cFILE
            name, has_value, value = "-c", "=", word[2:].removeprefix("=")
        key = name.removeprefix("--")
        if name in ("-h", "--help", "--print_config"):
            rest.append(word)
            continue
        if key.endswith(".help"):
            rest.append(word)
            if not has_value and pending and not pending[0].startswith("-"):
                rest.append(pending.pop(0))
            continue
        is_file = name in ("-c", "--config")
        if not is_file and not (name.startswith("--") and key.split(".")[0] in TOP_KEYS):
            if not has_value and pending and not pending[0].startswith("-"):
                word = f"{word} {pending[0]}"
            hint = did_you_mean(key.lstrip("-").split(".")[0], TOP_KEYS, "--")
            raise RecipeError(f"the command line has {word}, which is no option here{hint}")
        if not has_value:
            if not pending or pending[0].startswith("--"):
                raise RecipeError(f"the command line has {name} without a value")
            value = pending.pop(0)
        if not value:
            raise RecipeError(f"the command line has {name} without a value; null resets an option")
        if is_file:
            files.append(Path(value))
        else:
            options.append((key, value))
    return files, options, rest


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
    """Yield a recipe's content behind that of the recipes that it stands on.

    Raises:
        RecipeError: A file cannot be read, or is its own base.
    """
    if file.resolve() in above:
        raise RecipeError(f"{file}: base leads back to itself")
    content = _read(file)
    if (base := content.pop("base", None)) is not None:
        yield from read_with_bases(file.parent / str(base), (*above, file.resolve()))
    yield file, content


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        others = [other.name for other in file.parent.glob("*.yaml")]
        folder = str(file).removesuffix(file.name)
        raise RecipeError(f"there is no recipe {file}{did_you_mean(file.name, others, folder)}")
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
