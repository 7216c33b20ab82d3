"""`qsnn doctor`: what is installed, what can run, why the rest cannot, and how to mend it.

Everything is tried in an interpreter of its own, so that a package which fails to import, or takes
the process with it, is a line of the report. Nothing but the standard library is needed to say so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from qsnn_plugins.command_owners import OURS, claims, is_ours

MEND = "from qsnn_plugins.torchvision_ops import register_missing_ops; register_missing_ops(); "
MAIN_JOB = "lightning fit -c recipes/spquant_vgg9.yaml -c recipes/overlays/embedded.yaml"
PYTHON = (3, 11)
WIDTH = 24


class Mark(StrEnum):
    """How a finding bears on the main job."""

    GOOD = "ok"
    LACKING = "--"  # the main job runs without it
    FATAL = "!!"


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    subject: str
    mark: Mark
    told: str
    mend: str = ""

    def __str__(self) -> str:
        line = f"  {self.mark}  {self.subject:<{WIDTH}}{self.told}"
        return f"{line}\n{'':<{WIDTH + 6}}mend: {self.mend}" if self.mend else line


@dataclass(frozen=True)
class Probe:
    """What came of running a piece of code on its own: its last line, or the reason it failed."""

    good: bool
    told: str


def main(words: list[str]) -> int:
    """Print the report; 0 if the main job can run, else 1."""
    if words:
        print("usage: qsnn doctor     it takes no options", file=sys.stderr)
        return 0 if words[0] in ("-h", "--help") else 2
    fatal = False
    for title, findings in examine().items():
        print(title, *findings, "", sep="\n")
        fatal = fatal or any(finding.mark is Mark.FATAL for finding in findings)
    verdict = "cannot run before what is marked !! is mended" if fatal else "can run"
    print(f"The main job {verdict}: {MAIN_JOB}")
    return int(fatal)


def examine() -> dict[str, list[Finding]]:
    """Every finding, by section."""
    with ThreadPoolExecutor() as pool:
        probes = dict(zip(_PROBES, pool.map(probe, _PROBES.values()), strict=True))
    return {
        "Packages": packages(),
        "Imports": imports(probes),
        "Devices and backends": backends(probes),
        "Commands": commands(),
    }


def probe(code: str) -> Probe:
    """Run `code` in a fresh interpreter."""
    try:
        process = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        return Probe(False, "no answer within two minutes")
    good = process.returncode == 0
    lines = (process.stdout if good else process.stderr).strip().splitlines()
    return Probe(good, lines[-1] if lines else ("" if good else f"exit {process.returncode}"))


_PROBES = {
    "torch": "import torch; print(torch.version.cuda or 'CPU')",
    "device": "import torch; print(torch.cuda.get_device_name())",
    "cpp": "from qsnn_plugins.ops.quantized_lif import cpp; print(cpp.missing() or '')",
    "cupy": "import cupy; print(cupy.cuda.runtime.getDeviceCount())",
    "torchvision": "from qsnn_plugins import torchvision_ops as ops; "
    "print(ops.register_missing_ops())",
    "torchaudio": "import torchaudio",
    "lightning": MEND + "import lightning.pytorch.cli",
    "spikingjelly": MEND + "from spikingjelly.activation_based import model",
    "snntorch": MEND + "import snntorch",
    "tonic": "import tonic.io",
    "digits": "from sklearn.datasets import load_digits; load_digits()",
    "ours": "import qsnn_plugins.lightning, qsnn_plugins.data, qsnn_plugins.models, "
    "qsnn_plugins.spikingjelly",
}

# Distribution: whether the main job stops without it.
_PACKAGES = {
    "torch": True,
    "numpy": True,
    "spikingjelly": True,
    "snntorch": False,
    "lightning": True,
    "jsonargparse": True,
    "torchmetrics": True,
    "pycocotools": False,
    "tonic": True,
    "rich": False,
    "scikit-learn": True,
}


def packages() -> list[Finding]:
    """Versions, held against the ranges of this package's own metadata."""
    python = ".".join(map(str, sys.version_info[:3]))
    mark = Mark.GOOD if sys.version_info >= PYTHON else Mark.FATAL
    found = [Finding("Python", mark, python, "" if mark is Mark.GOOD else "use 3.11 or later")]
    ranges = _ranges()
    found += [_package(name, vital, ranges.get(name)) for name, vital in _PACKAGES.items()]
    return found


def _package(name: str, vital: bool, wanted: str | None) -> Finding:
    bad = Mark.FATAL if vital else Mark.LACKING
    requirement = f"{name}{wanted or ''}"
    try:
        installed = version(name)
    except PackageNotFoundError:
        return Finding(name, bad, "not installed", f"pip install '{requirement}'")
    if not _within(installed, wanted):
        told = f"{installed}, and {wanted} is needed"
        return Finding(name, bad, told, f"pip install '{requirement}'")
    return Finding(name, Mark.GOOD, installed)


def _ranges() -> dict[str, str]:
    """Which versions this package accepts; empty where it is not installed."""
    try:
        from packaging.requirements import Requirement

        parsed = map(Requirement, requires(OURS) or ())
        return {requirement.name: str(requirement.specifier) for requirement in parsed}
    except (ImportError, PackageNotFoundError):
        return {}


def _within(installed: str, wanted: str | None) -> bool:
    if not wanted:
        return True
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(installed, prereleases=True)


def imports(probes: dict[str, Probe]) -> list[Finding]:
    """Hosts and libraries, each imported on its own."""
    again = "pip install --force-reinstall --no-deps "
    return [
        _import("Lightning", probes["lightning"], Mark.FATAL, again + "lightning"),
        _import("host SpikingJelly", probes["spikingjelly"], Mark.FATAL, again + "spikingjelly"),
        _import("host snnTorch", probes["snntorch"], Mark.LACKING, again + "snntorch"),
        _import("tonic", probes["tonic"], Mark.FATAL, again + "tonic"),
        _import(
            "embedded digits", probes["digits"], Mark.FATAL, "pip install 'qsnn-plugins[demo]'"
        ),
        _import("qsnn_plugins", probes["ours"], Mark.FATAL, "mend what stands above first"),
        _torchvision(probes["torchvision"]),
        _torchaudio(probes["torchaudio"]),
    ]


def _import(subject: str, result: Probe, bad: Mark, mend: str) -> Finding:
    if result.good:
        return Finding(subject, Mark.GOOD, "imports")
    return Finding(subject, bad, f"does not import: {result.told}", mend)


def _torchvision(result: Probe) -> Finding:
    subject = "torchvision operators"
    match result.told:
        case "native":
            return Finding(subject, Mark.GOOD, "load")
        case "absent":
            told = "torchvision is not installed; SpikingJelly's model builders want it"
            return Finding(subject, Mark.LACKING, told, "pip install torchvision")
        case "mended":
            told = "do not fit this torch; mended, all but nms and RoI operators works"
            return Finding(subject, Mark.GOOD, told)
    return Finding(subject, Mark.FATAL, result.told, "pip install --force-reinstall torch")


def _torchaudio(result: Probe) -> Finding:
    if result.good:
        return Finding("torchaudio", Mark.GOOD, "imports")
    told = (
        f"does not import, nor does spikingjelly.datasets, which nothing here uses: {result.told}"
    )
    return Finding("torchaudio", Mark.LACKING, told, "install the torchaudio built for this torch")


def backends(probes: dict[str, Probe]) -> list[Finding]:
    """The device that torch sees, and what can run the fused neuron."""
    torch, device = probes["torch"], probes["device"]
    build = f"CUDA {torch.told}" if torch.told != "CPU" else "CPU"
    if not torch.good:
        seen = Finding("torch", Mark.FATAL, torch.told, "pip install --force-reinstall torch")
    elif device.good:
        seen = Finding("torch", Mark.GOOD, f"{build} build, sees {device.told}")
    else:
        seen = Finding("torch", Mark.GOOD, f"{build} build, sees no GPU: runs on the CPU")
    return [
        seen,
        Finding("backend reference", Mark.GOOD, "runs wherever torch does"),
        _kernel("backend C++", "cpp.py", probes["cpp"].told),
        _kernel("backend CuPy", "cupy.py", _cupy(probes["cupy"])),
    ]


def _kernel(subject: str, file: str, reason: str | None) -> Finding:
    """A kernel runs if this version of the package has it and nothing it needs is missing."""
    if not any(Path(__file__).parent.glob(f"ops/*/{file}")):
        return Finding(subject, Mark.LACKING, "not part of this version of qsnn-plugins")
    if reason:
        return Finding(subject, Mark.LACKING, reason)
    return Finding(subject, Mark.GOOD, "can run")


def _cupy(result: Probe) -> str | None:
    if not result.good:
        return f"CuPy does not import: {result.told}"
    return None if int(result.told) else "CuPy sees no device"


def commands() -> list[Finding]:
    """Whose `lightning` answers, and who else claims the name."""
    take_back = f"pip install --force-reinstall --no-deps {OURS}"
    here = shutil.which("lightning", path=str(Path(sys.executable).parent))
    on_path = shutil.which("lightning")
    found = here or on_path
    if found is None:
        told = "there is none; `python -m qsnn_plugins fit ...` is the same"
        first = Finding("lightning", Mark.FATAL, told, take_back)
    elif not _leads_to_us(found):
        told = f"{found} is another package's; `qsnn fit ...` is ours"
        first = Finding("lightning", Mark.FATAL, told, take_back)
    elif on_path is None or not os.path.samefile(on_path, found):
        told = f"{found} is ours; the PATH leads to {on_path or 'none'}"
        first = Finding("lightning", Mark.GOOD, told, "activate the virtual environment")
    else:
        first = Finding("lightning", Mark.GOOD, f"{found} is ours")
    others = [owner for owner, entry in claims("lightning").items() if not is_ours(entry)]
    told = f"every word but fit, validate, test and predict is handed on to {', '.join(others)}"
    return [first, *([Finding("also claimed", Mark.GOOD, told)] if others else [])]


def _leads_to_us(script: str) -> bool:
    return b"qsnn_plugins" in Path(script).read_bytes()
