"""Make torchvision importable with a torch that it was not built for.

A CPU build of torch is often installed together with torchvision from PyPI, which is built for
CUDA. Then torchvision's C library cannot be loaded, its operators are not defined, and `import
torchvision` fails with "operator torchvision::nms does not exist". So do torchmetrics, Lightning
and SpikingJelly's model builders, although none of them needs an operator. `register_missing_ops`
registers the two operators to which torchvision's Python code adds a kernel unconditionally. The
rest of that code checks whether the library was loaded, and still finds that it was not.

`watch_for_torchvision` does this when torchvision is first imported, by any package. It is enough
to import this package before a host, and torch is not imported if torchvision is not.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from enum import StrEnum
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import torch

# What torchvision registers fake kernels for, whether or not its library loaded.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

# torchvision's C library: from 0.29 on, and before.
_LIBRARIES = ("_C_stable", "_C")

# The registrations live as long as this object does.
_registered: torch.library.Library | None = None


class Operators(StrEnum):
    """Source of torchvision's operators."""

    ABSENT = "absent"  # torchvision is not installed
    NATIVE = "native"  # its own library loads
    REGISTERED = "registered"  # registered here; a call raises


def register_missing_ops() -> Operators:
    """Register torchvision's operators if, and only if, its own cannot be loaded.

    It must run before torchvision is imported; `watch_for_torchvision` takes care of this. Calling
    it again, or after torchvision was imported, has no effect. After a failed import, torchvision
    can be imported again.

    Returns:
        The source of the operators.

    Example:
        >>> register_missing_ops() in Operators
        True
        >>> register_missing_ops() is register_missing_ops()
        True
    """
    import torch

    global _registered
    if _watcher in sys.meta_path:
        sys.meta_path.remove(_watcher)
    if _registered is not None:
        return Operators.REGISTERED
    if hasattr(torch.ops.torchvision, "nms"):
        return Operators.NATIVE
    library = _library_path()
    if library is None:
        return Operators.ABSENT
    try:
        torch.ops.load_library(library)
    except OSError:
        _registered = _register()
        return Operators.REGISTERED
    return Operators.NATIVE


class _Watcher(MetaPathFinder):
    """Finds no module; registers the operators when torchvision is first looked for."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        """Leave the search to the finders behind."""
        if fullname == "torchvision":
            register_missing_ops()


_watcher = _Watcher()


def watch_for_torchvision() -> None:
    """Call `register_missing_ops` when torchvision is first imported, and import nothing before.

    Example:
        >>> watch_for_torchvision()
    """
    if "torchvision" not in sys.modules and _watcher not in sys.meta_path:
        sys.meta_path.insert(0, _watcher)


def _library_path() -> str | None:
    """Path of torchvision's C library, found without importing torchvision; None if there is none.

    The path need not exist: a torchvision without a library fails to load it, and gets ours.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = spec.submodule_search_locations[0]
    loader = (
        importlib.machinery.ExtensionFileLoader,
        importlib.machinery.EXTENSION_SUFFIXES,
    )
    finder = importlib.machinery.FileFinder(folder, loader)
    for name in _LIBRARIES:
        found = finder.find_spec(name)
        if found is not None and found.origin is not None:
            return found.origin
    return str(Path(folder) / _LIBRARIES[0])


def _register() -> torch.library.Library:
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        name = schema.partition("(")[0]
        library.define(schema)
        for device in ("CPU", "CUDA"):
            library.impl(name, _refuse, device)
    return library


def _refuse(*_: object) -> NoReturn:
    import torch

    raise RuntimeError(
        "torchvision's operators (nms, qnms) cannot run: its compiled library does not fit this "
        f"torch ({torch.__version__}); install the torchvision that was built for it"
    )
