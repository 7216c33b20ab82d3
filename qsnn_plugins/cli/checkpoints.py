"""Checkpoints: one reader for all commands, and one-sentence errors for files that do not fit."""

from __future__ import annotations

import re
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.nn import allow_spec_changes

CHANGES = ("refuse", "allow")
# what schedules of torch are built with, by its name in their states; the rest is progress
_FIXED = {
    *("T_max", "eta_min", "T_0", "T_mult", "total_steps", "total_iters", "start_factor"),
    *("end_factor", "gamma", "step_size", "milestones", "_milestones", "power", "factor"),
    *("patience", "cooldown"),
}
_POINTER = b"version https://git-lfs"
_GLOBAL = re.compile(r"(?:Unsupported global: GLOBAL|unsupported GLOBAL) (\S+)")
_DIFFERENCE = re.compile(r"(.*?): (.* in the state, .* here)")
_ANEW = "`fit` goes on with the same; `--ckpt_changes allow` takes the weights and trains them anew"
_HOLDS_OBJECTS = (
    "contains Python objects ({}), but only tensors and plain values are loaded; "
    "if you trust its author, add `--weights_only false` to load everything"
)


def take_changes(config: dict[str, Any]) -> str:
    """Take `ckpt_changes` out of a configuration: whether a checkpoint may be quantized otherwise.

    Raises:
        RecipeError: It is neither "refuse" nor "allow".
    """
    given = config.pop("ckpt_changes", None)
    changes = "refuse" if given is None else given
    if changes not in CHANGES:
        raise RecipeError(f"--ckpt_changes: {changes} is not allowed: give refuse or allow")
    return changes


def loading(changes: str) -> AbstractContextManager[None]:
    """Return the context in which a checkpoint is loaded."""
    return allow_spec_changes() if changes == "allow" else nullcontext()


def read_checkpoint(file: Path, trusted: bool = False) -> dict[str, Any]:
    """Read the tensors and plain values of a checkpoint.

    Args:
        file: Where it is.
        trusted: Whether objects may be unpickled, which can run anything.

    Returns:
        Its content, with a `state_dict` of tensors by name.

    Raises:
        RecipeError: The file is missing, damaged, or not a checkpoint.
    """
    check_file(file)
    try:
        content = torch.load(file, map_location="cpu", weights_only=not trusted)
    # what torch raises depends on the bytes of a file that is none: zip, key, end of file
    except Exception as error:
        raise RecipeError(f"{file} {_why_unreadable(error)}") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{file} is not a checkpoint: it contains a {type(content).__name__}")
    state = content.get("state_dict")
    if state is None and content and all(isinstance(v, Tensor) for v in content.values()):
        allowed = "a checkpoint has them under the key state_dict"
        raise RecipeError(f"{file} is not a checkpoint: it contains only weights; {allowed}")
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise RecipeError(f"{file} is not a checkpoint: it has no state_dict with named tensors")
    return content


def check_file(file: Path) -> None:
    """Refuse a file that is damaged or no checkpoint, as far as its bytes tell without unpickling.

    Raises:
        RecipeError: It is.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(len(_POINTER))
    except OSError as error:
        raise RecipeError(f"--ckpt_path: {file} cannot be read: {error.strerror}") from None
    if not start:
        raise RecipeError(f"{file} is not a checkpoint: it is empty")
    if start == _POINTER:
        raise RecipeError(f"{file} is a git-lfs pointer: run `git lfs pull` to download the file")
    if start.startswith(b"PK"):
        try:
            with zipfile.ZipFile(file) as archive:
                damaged = archive.testzip()
        # what zipfile raises depends on the bytes that are wrong
        except Exception:
            raise RecipeError(f"{file} is truncated or damaged") from None
        if damaged is not None:
            raise RecipeError(f"{file} is damaged: the checksum of {damaged} is wrong")


def _why_unreadable(error: Exception) -> str:
    named = _GLOBAL.search(str(error)) if isinstance(error, UnpicklingError) else None
    if named:
        return _HOLDS_OBJECTS.format(named[1].rstrip("."))
    return "cannot be read: it is damaged, or not a checkpoint"


def check_saved_by_fit(file: Path, content: dict[str, Any], stage: str, trainer: Any) -> None:
    """Refuse a checkpoint from which Lightning cannot continue, before it tries to.

    Args:
        file: Where the checkpoint is.
        content: What it holds.
        stage: "fit", "validate", "test" or "predict".
        trainer: Lightning's, whose loops and callbacks take what it holds.

    Raises:
        RecipeError: Something is missing or not what it should be, or the training is over.
    """
    expected: dict[str, Any] = {"pytorch-lightning_version": str}
    if stage == "fit":
        expected |= {"epoch": int, "global_step": int, "loops": dict, "callbacks": dict}
        expected |= {"optimizer_states": list, "lr_schedulers": list}
    wrong = [key for key, kind in expected.items() if not isinstance(content.get(key), kind)]
    wrong = wrong or [
        key for key in ("loops", "callbacks") if not isinstance(content.get(key, {}), dict)
    ]
    if not wrong and not re.match(r"\d+(\.\d+)+", content["pytorch-lightning_version"]):
        wrong = ["pytorch-lightning_version"]
    wrong = wrong or [*_wrong_progress(content.get("loops"), stage, trainer)]
    wrong = wrong or [*_wrong_callbacks(content.get("callbacks", {}), trainer)]
    if wrong:
        raise RecipeError(
            f"{file} was not saved by `fit`, or is damaged: {wrong[0]} is missing or invalid"
        )
    if stage != "fit":
        return
    over = content["loops"]["fit_loop"].get("epoch_progress", {}).get("current", {})
    epochs = over.get("processed", 0)
    if trainer.max_epochs not in (None, -1) and epochs > trainer.max_epochs:
        raise RecipeError(
            f"{file} has been trained for {epochs} epochs, and trainer.max_epochs is "
            f"{trainer.max_epochs}: give {epochs} or more"
        )


def _wrong_progress(loops: dict[str, Any] | None, stage: str, trainer: Any) -> Iterator[str]:
    if loops is None:
        return
    name = f"{stage}_loop"
    if not isinstance(loops.get(name), dict):
        yield f"loops.{name}"
        return
    for key, own in getattr(trainer, name).state_dict().items():
        if key in loops[name]:  # earlier versions of Lightning had fewer
            yield from _unlike(own, loops[name][key], f"loops.{name}.{key}")


def _unlike(own: Any, given: Any, place: str) -> Iterator[str]:
    """Places at which nested counters are not what a loop of the trainer has there."""
    if isinstance(own, dict):
        if not isinstance(given, dict):
            yield place
            return
        for key, value in own.items():
            yield from _unlike(value, given.get(key), f"{place}.{key}")
    elif isinstance(own, int) and (type(given) is not type(own) or given < 0):
        yield place


def _wrong_callbacks(states: dict[str, Any], trainer: Any) -> Iterator[str]:
    from lightning.pytorch.callbacks import ModelCheckpoint

    for callback in trainer.callbacks:
        state = states.get(callback.state_key)
        if not state:
            continue
        known = (
            ModelCheckpoint.state_dict(callback) if isinstance(callback, ModelCheckpoint) else ()
        )
        if not isinstance(state, dict) or any(key not in state for key in known):
            yield f"callbacks.{callback.state_key}"


def check_optimizers(content: dict[str, Any], trainer: Any) -> None:
    """Refuse to continue with an optimizer or schedule other than that of the checkpoint.

    Loading replaces the recipe's numbers by the checkpoint's, so those have to be the same. A
    learning rate that no schedule covers may have been changed in the training: it is only named.

    Raises:
        RecipeError: It has options, groups of parameters or a schedule of another kind, or other
            numbers.
    """
    schedules = [config.scheduler for config in trainer.lr_scheduler_configs]
    for name, key, own, kind in (
        ("optimizer", "optimizer_states", trainer.optimizers, _optimizer_kind),
        ("schedule", "lr_schedulers", schedules, _schedule_kind),
    ):
        saved = content[key]
        states = [each.state_dict() for each in own]
        try:
            is_same = [*map(kind, states)] == [*map(kind, saved)]
            changed = _changes(saved, states) if is_same else []
        except (TypeError, KeyError, AttributeError, IndexError, ValueError):
            raise RecipeError(f"the checkpoint is damaged: {key} is invalid") from None
        if not is_same:
            classes = ", ".join(type(each).__name__ for each in own) or "none"
            what = f"the checkpoint is of another {name} than this recipe's ({classes})"
            raise RecipeError(f"{what}: {_ANEW}")
        for option, before, now in changed:
            if option != "lr":
                what = f"the checkpoint's {name} has {option} {before}, and this recipe's {now}"
                raise RecipeError(f"{what}: {_ANEW}")
            note = f"the checkpoint's learning rate {before} is used, not this recipe's {now}"
            print(note, file=sys.stderr)


def _changes(before: Any, now: Any) -> list[tuple[str, Any, Any]]:
    """Numbers that states of the same kinds do not share, with both values."""
    both = [[pair for state in states for pair in _settings(state)] for states in (before, now)]
    return [(name, old, new) for (name, old), (_, new) in zip(*both, strict=True) if old != new]


def _settings(state: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Numbers of an optimizer or a schedule that a training leaves as they are, by name."""
    for group in state.get("param_groups", ()):
        names = _numbers(group)
        if "base_momentum" in group:  # a schedule moves it
            names -= {"momentum", "betas"}
        if "initial_lr" in group:
            names = names - {"lr"} | {"initial_lr"}
        yield from ((name, _plain(group[name])) for name in sorted(names))
    yield from ((name.strip("_"), _plain(state[name])) for name in sorted(_FIXED & state.keys()))
    for each in state.get("_schedulers", ()):
        yield from _settings(each)


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise TypeError("an option of several numbers")
        return value.item()
    return [*value] if isinstance(value, tuple) else value


def _optimizer_kind(state: dict[str, Any]) -> Any:
    """What two states of one optimizer have in common: options, and parameters per group."""
    groups = [(_numbers(group), [*map(int, group["params"])]) for group in state["param_groups"]]
    count = sum(len(numbers) for _, numbers in groups)
    of_parameters = dict(state["state"])
    if not all(0 <= index < count for index in of_parameters):
        raise ValueError("a state of no parameter")
    if not all(isinstance(each, dict) for each in of_parameters.values()):
        raise TypeError("a state that is none")
    return groups


def _numbers(group: dict[str, Any]) -> set[str]:
    """Options of an optimizer that are numbers; versions of torch differ in the others."""
    numbers = {key for key, value in group.items() if _is_number(value) and key != "initial_lr"}
    # what makes an AdamW of Adam
    return numbers | ({"decoupled_weight_decay"} if group.get("decoupled_weight_decay") else set())


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1
    return isinstance(value, float | int | tuple) and not isinstance(value, bool)


def _schedule_kind(state: dict[str, Any]) -> Any:
    own = {key for key in state if not key.startswith("_")} - {"verbose"}
    return own, [_schedule_kind(each) for each in state.get("_schedulers", ())]


def unloadable(error: Exception) -> str | None:
    """Why a checkpoint could not be loaded; None where that is not what failed."""
    if isinstance(error, UnpicklingError):
        return f"the checkpoint {_why_unreadable(error)}"
    first, *details = (line.strip() for line in str(error).split("\n"))
    if not first.startswith("Error(s) in loading state_dict"):
        return None
    different: dict[str, list[str]] = defaultdict(list)
    others = []
    for detail in details:
        if found := _DIFFERENCE.fullmatch(detail):
            different[found[2]].append(found[1])
        else:
            others.append(detail)
    named = [
        f"{what} ({names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)})"
        for what, names in different.items()
    ]
    if others:
        return f"the checkpoint is not of this recipe's network: {'; '.join([others[0], *named])}"
    return (
        f"the checkpoint was trained otherwise than this recipe says: {'; '.join(named)}; "
        "`--ckpt_changes allow` says that the change is meant"
    )
