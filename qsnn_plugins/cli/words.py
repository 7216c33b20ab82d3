"""The words of a command line: files, options, and what is for the parser itself."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from qsnn_plugins.cli.failures import RecipeError

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
        if word.startswith("-c") and not word.startswith("--") and len(word) > 2:
            name, has_value, value = "-c", "=", word[2:].removeprefix("=")
        key = name.removeprefix("--")
        if word in ("-h", "--help") or key == "print_config":
            rest.append(word)
            continue
        if key.endswith(".help"):
            rest.append(word)
            if not has_value and pending and not pending[0].startswith("-"):
                rest.append(pending.pop(0))
            continue
        is_file = name in ("-c", "--config")
        if not is_file and not (name.startswith("--") and key.split(".")[0] in TOP_KEYS):
            raise RecipeError(_unknown_option(word, pending))
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


def _unknown_option(word: str, following: list[str]) -> str:
    if "=" not in word and following and not following[0].startswith("-"):
        word = f"{word} {following[0]}"
    near = get_close_matches(word.lstrip("-").partition("=")[0].split(".")[0], TOP_KEYS, n=1)
    hint = f"; did you mean --{near[0]}?" if near else ""
    return f"the command line has {word}, which is no option here{hint}"
