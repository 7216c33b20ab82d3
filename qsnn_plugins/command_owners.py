"""Who claims a command: lightning-sdk and this package both install one called `lightning`."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

OURS = "qsnn-plugins"


def claims(command: str) -> dict[str, EntryPoint]:
    """Console scripts called `command`, by the distribution that brings each.

    Example:
        >>> claims("no-such-command")
        {}
    """
    return {
        entry.dist.name if entry.dist else "unknown": entry
        for entry in entry_points(group="console_scripts", name=command)
    }


def other_claim(command: str) -> tuple[str, EntryPoint] | None:
    """The first distribution other than this one that brings `command`, if there is any."""
    return next(
        ((owner, entry) for owner, entry in claims(command).items() if not is_ours(entry)), None
    )


def is_ours(entry: EntryPoint) -> bool:
    """Whether an entry point leads into this package."""
    return entry.module.partition(".")[0] == "qsnn_plugins"
