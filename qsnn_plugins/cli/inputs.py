"""What a command line gives: options, words for the parser, and recipes as they lie in files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import chain
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
    "ckpt_changes",
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

    `--tensorboard` stands for `--trainer.callbacks+=TensorBoard`.
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
            rest.append("--help" if name == "--help" else word)  # --help=all is the parser's
            continue
        if word == "--tensorboard":
            options.append(("trainer.callbacks+", "TensorBoard"))
            continue
        if key.endswith(".help"):
            rest.append(word)
            if not has_value and pending and not pending[0].startswith("-"):
                rest.append(pending.pop(0))
            continue
        is_file = name in ("-c", "--config")
        if word.endswith((".yaml", ".yml")) and not word.startswith("-"):
            raise RecipeError(f"{word} on the command line needs -c before it: -c {word}")
        if not is_file and not (name.startswith("--") and key.split(".")[0] in TOP_KEYS):
            if not has_value and pending and not pending[0].startswith("-"):
                word = f"{word} {pending[0]}"
            hint = did_you_mean(key.lstrip("-").split(".")[0], TOP_KEYS, "--")
            raise RecipeError(f"unknown option {word}{hint}")
        if not has_value:
            if not pending or pending[0].startswith("--"):
                raise RecipeError(f"{name} needs a value")
            value = pending.pop(0)
        if not value:
            raise RecipeError(f"{name} has an empty value; use null to reset an option")
        if is_file:
            files.append(Path(value))
        else:
            options.append((key, value))
    return files, options, rest


_NAMED_CHECKPOINTS = ("last", "best", "hpc")


def names_local_file(checkpoint: str) -> bool:
    """Return whether it is a path on this machine: no word of Lightning's, and no address.

    Example:
        >>> [names_local_file(name) for name in ("last", "s3://runs/a.ckpt", "runs/a.ckpt")]
        [False, False, True]
    """
    return checkpoint not in _NAMED_CHECKPOINTS and not re.match(r"\w{2,}:", checkpoint)


def check_checkpoint(path: str | None) -> None:
    """Refuse a checkpoint file that is not there, before anything is built.

    Raises:
        RecipeError: There is none.
    """
    if path is not None and names_local_file(path) and not os.path.exists(path):
        raise RecipeError(
            f"--ckpt_path: there is no file {path!r}; `last` is the newest checkpoint of a run"
        )


_MERGE = "tag:yaml.org,2002:merge"
_MOST_VALUES = 100_000


class _Loader(yaml.SafeLoader):
    """YAML as jsonargparse reads it, 1e-3 is a number too, in which no key comes twice.

    Aliases are read where they neither refer to themselves nor multiply beyond all measure.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> Any:
        event = self.peek_event()
        node: Any = super().compose_node(parent, index)
        if not isinstance(event, yaml.AliasEvent):
            below = chain(*node.value) if isinstance(node, yaml.MappingNode) else node.value
            below = () if isinstance(node, yaml.ScalarNode) else below
            self._sizes[node] = 1 + sum(self._sizes[inner] for inner in below)
        problem = None
        if node not in self._sizes:
            problem = f"the alias *{event.anchor} refers to a value that contains it"
        elif self._sizes[node] > _MOST_VALUES:
            problem = f"with its aliases replaced it has more than {_MOST_VALUES} values"
        if problem:
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        known: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                if key.value in known:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} occurs twice", key.start_mark
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
        yaml.YAMLError: If the text is not YAML.

    Example:
        >>> load_yaml("[1e-3, two]")
        [0.001, 'two']
    """
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except (ValueError, LookupError, AttributeError) as error:
        # what PyYAML raises for 2026-99-99, for !!bool maybe and for numbers of 5,000 digits
        raise yaml.YAMLError(f"a value is invalid ({error})") from None


def located(file: Path) -> Path:
    """Return a recipe's path, or that of the installed one where `recipes/` is not at hand.

    Example:
        >>> located(Path("mine/net.yaml")).as_posix()
        'mine/net.yaml'
    """
    # os.path: a name that is too long is not there, where Path.exists raises
    if file.parts[:1] != ("recipes",) or os.path.exists(file):
        return file
    installed = Path(__file__).parents[1] / file
    return installed if os.path.exists(installed) else file


def read_with_bases(
    file: Path, above: tuple[Path, ...] = ()
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the content of a recipe's bases, and then its own.

    Raises:
        RecipeError: A file cannot be read, or is its own base.
    """
    content = _read(file, f"{above[-1]}: base: " if above else "")
    if any(file.resolve() == other.resolve() for other in above):
        raise RecipeError(f"{file}: it is its own base")
    if (base := content.pop("base", None)) is not None:
        yield from read_with_bases(file.parent / str(base), (*above, file))
    yield file, content


def _read(file: Path, named_by: str) -> dict[str, Any]:
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1} is not UTF-8"
        raise RecipeError(f"{file} cannot be read: {where}; save it in UTF-8") from None
    except (FileNotFoundError, NotADirectoryError):
        others = [other.name for other in file.parent.glob("*.yaml")]
        folder = str(file).removesuffix(file.name)
        hint = did_you_mean(file.name, others, folder)
        raise RecipeError(f"{named_by}there is no recipe {file}{hint}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecipeError(f"{named_by}{file} cannot be read: {reason}") from None
    try:
        content = load_yaml(text)
    except yaml.reader.ReaderError as error:
        where = f"character {error.position + 1} is not allowed in a text"
        raise RecipeError(f"{file} cannot be read: {where}; save it in UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(error, "problem", error)
        raise RecipeError(f"{file} cannot be read as YAML: {where}{problem}") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{file} is not a recipe: it has none of the keys model, data, trainer")
    return content
