"""`qsnn doctor`: what is installed, what can run, why the rest cannot, and how to fix it.

Everything is tried in another interpreter, so that a package which fails to import, or takes the
process with it, is a line of the report. Nothing but the standard library is needed to say so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from threading import Timer

from qsnn_plugins.command_owners import OURS, claims, is_ours
from qsnn_plugins.progress import phase

REGISTER = "from qsnn_plugins.torchvision_ops import register_missing_ops; register_missing_ops(); "
MAIN_JOB = "lightning fit -c recipes/spquant_vgg9.yaml -c recipes/overlays/embedded.yaml"
USAGE = "usage: qsnn doctor     (it takes no options)"
HELP = f"""\
{USAGE}

Check the installed packages, devices, kernels and commands, and say how to fix what is missing.

example:
  qsnn doctor"""
PYTHON = (3, 11)
WIDTH = 24
_PATIENCE = 300  # seconds for one import: a cold disk or a busy machine takes minutes


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
    text: str
    fix: str = ""

    def __str__(self) -> str:
        line = f"  {self.mark}  {self.subject:<{WIDTH}}{self.text}"
        return f"{line}\n{'':<{WIDTH + 6}}fix: {self.fix}" if self.fix else line


@dataclass(frozen=True)
class Probe:
    """What came of running a piece of code on its own: its last line, or the reason it failed."""

    good: bool
    text: str


class Probes(Mapping[str, Probe]):
    """The probes by name, one after another; asking for one waits for it."""

    def __init__(self) -> None:
        self._found: dict[str, Probe] = {}
        self._coming = _all_probes()

    def __getitem__(self, name: str) -> Probe:
        while name not in self._found:
            with phase("trying imports, devices and backends"):
                done, found = next(self._coming)
            self._found[done] = found
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_PROBES)

    def __len__(self) -> int:
        return len(_PROBES)


def main(words: list[str]) -> int:
    """Print the report line by line as it comes; 0 if the main job can run, else 1."""
    if words:
        asked = words[0] in ("-h", "--help")
        print(HELP if asked else USAGE, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    fatal = False
    for title, findings in examine(Probes()).items():
        print(title, flush=True)
        for finding in findings:
            print(finding, flush=True)
            fatal = fatal or finding.mark is Mark.FATAL
        print()
    verdict = "cannot run until everything marked !! is fixed" if fatal else "can run"
    print(f"The main job {verdict}: {MAIN_JOB}")
    return int(fatal)


def examine(probes: Mapping[str, Probe]) -> dict[str, Iterator[Finding]]:
    """The findings of each section, each made when it is asked for."""
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
            [sys.executable, "-c", code],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Probe(False, f"no answer within {_PATIENCE // 60} minutes")
    good = process.returncode == 0
    lines = (process.stdout if good else process.stderr).strip().splitlines()
    return Probe(good, lines[-1] if lines else ("" if good else f"exit {process.returncode}"))


def _all_probes() -> Iterator[tuple[str, Probe]]:
    """Run every probe in one interpreter, and go on in another where one takes it along."""
    pending = dict(_PROBES)
    while pending:
        for name, found in _together(pending):
            del pending[name]
            yield name, found
        if pending:
            name = next(iter(pending))
            yield name, probe(pending.pop(name))


_TOGETHER = """
import contextlib, io, json, sys
for name, code in json.loads(sys.argv[1]).items():
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(code, {})
        good, text = True, printed.getvalue()
    except BaseException as error:
        good, text = False, f"{type(error).__name__}: {error}"
    print("probe", json.dumps([name, good, (text.strip().splitlines() or [""])[-1]]), flush=True)
"""


def _together(codes: Mapping[str, str]) -> Iterator[tuple[str, Probe]]:
    """Run pieces of code in one interpreter, since torch alone takes seconds to import.

    Yields:
        What came of each; fewer where one of them ends the interpreter.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _TOGETHER, json.dumps(codes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        errors="replace",
    )
    watch = Timer(_PATIENCE, process.kill)
    watch.start()
    try:
        for line in process.stdout or ():
            if line.startswith("probe "):
                name, *found = json.loads(line.removeprefix("probe "))
                yield name, Probe(*found)
    finally:
        watch.cancel()
        process.kill()
        process.communicate()


_PROBES = {
    "torch": "import torch; print(torch.version.cuda or 'CPU')",
    "lightning": REGISTER + "import lightning.pytorch.cli",
    "spikingjelly": REGISTER + "from spikingjelly.activation_based import model",
    "snntorch": REGISTER + "import snntorch",
    "digits": "from sklearn.datasets import load_digits; load_digits()",
    "ours": "import qsnn_plugins.lightning, qsnn_plugins.models, qsnn_plugins.spikingjelly; "
    "from qsnn_plugins.data import *",
    "torchvision": "from qsnn_plugins import torchvision_ops as ops; "
    "print(ops.register_missing_ops())",
    "device": "import torch; print(torch.cuda.get_device_name())",
    "cpp": "from qsnn_plugins.ops.quantized_lif import cpp; print(cpp.missing() or '')",
    "torchaudio": "import torchaudio",
    "cupy": "import cupy; print(cupy.cuda.runtime.getDeviceCount())",
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
    "rich": False,
    "scikit-learn": True,
    "pycocotools": False,
    "matplotlib": False,
    "tensorboard": False,
    "aedat": False,
}

# Distribution: the extra that installs it.
_EXTRAS = {
    "scikit-learn": "demo",
    "pycocotools": "detection",
    "matplotlib": "plot",
    "tensorboard": "tensorboard",
    "aedat": "aedat",
}


def packages() -> Iterator[Finding]:
    """Versions, held against the ranges of this package's own metadata."""
    python = ".".join(map(str, sys.version_info[:3]))
    mark = Mark.GOOD if sys.version_info >= PYTHON else Mark.FATAL
    yield Finding("Python", mark, python, "" if mark is Mark.GOOD else "use 3.11 or later")
    ranges = _ranges()
    for name, vital in _PACKAGES.items():
        yield _package(name, vital, ranges.get(name))


def _package(name: str, vital: bool, wanted: str | None) -> Finding:
    bad = Mark.FATAL if vital else Mark.LACKING
    fix = f"pip install '{name}{wanted or ''}'"
    try:
        installed = version(name)
    except PackageNotFoundError:
        if name in _EXTRAS:
            fix = f"pip install 'qsnn-plugins[{_EXTRAS[name]}]'"
        return Finding(name, bad, "not installed", fix)
    if not _within(installed, wanted):
        return Finding(name, bad, f"{installed}, and {wanted} is needed", fix)
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


def imports(probes: Mapping[str, Probe]) -> Iterator[Finding]:
    """Hosts and libraries, each imported on its own."""
    again = "pip install --force-reinstall --no-deps "
    demo = "pip install 'qsnn-plugins[demo]'"
    yield _import("Lightning", probes["lightning"], Mark.FATAL, again + "lightning")
    yield _import("host SpikingJelly", probes["spikingjelly"], Mark.FATAL, again + "spikingjelly")
    yield _import("host snnTorch", probes["snntorch"], Mark.LACKING, again + "snntorch")
    yield _import("embedded digits", probes["digits"], Mark.FATAL, demo)
    yield _import("qsnn_plugins", probes["ours"], Mark.FATAL, "fix what stands above first")
    yield _torchvision(probes["torchvision"])
    yield _torchaudio(probes["torchaudio"])


def _import(subject: str, result: Probe, bad: Mark, fix: str) -> Finding:
    if result.good:
        return Finding(subject, Mark.GOOD, "imports")
    return Finding(subject, bad, f"does not import: {result.text}", fix)


def _torchvision(result: Probe) -> Finding:
    subject = "torchvision operators"
    match result.text:
        case "native":
            return Finding(subject, Mark.GOOD, "load")
        case "absent":
            text = "torchvision is not installed; SpikingJelly's model builders need it"
            return Finding(subject, Mark.LACKING, text, "pip install torchvision")
        case "registered":
            text = (
                "do not load with this torch: import qsnn_plugins before torchvision, and "
                "everything works except nms and RoI operators"
            )
            return Finding(subject, Mark.GOOD, text)
    return Finding(subject, Mark.FATAL, result.text, "pip install --force-reinstall torch")


def _torchaudio(result: Probe) -> Finding:
    if result.good:
        return Finding("torchaudio", Mark.GOOD, "imports")
    text = (
        f"does not import, nor does spikingjelly.datasets, which nothing here uses: {result.text}"
    )
    return Finding("torchaudio", Mark.LACKING, text, "install the torchaudio built for this torch")


def backends(probes: Mapping[str, Probe]) -> Iterator[Finding]:
    """The device that torch sees, and what can run the fused neuron."""
    torch, device = probes["torch"], probes["device"]
    build = f"CUDA {torch.text}" if torch.text != "CPU" else "CPU"
    if not torch.good:
        seen = Finding("torch", Mark.FATAL, torch.text, "pip install --force-reinstall torch")
    elif device.good:
        seen = Finding("torch", Mark.GOOD, f"{build} build, sees {device.text}")
    else:
        seen = Finding("torch", Mark.GOOD, f"{build} build, sees no GPU: runs on the CPU")
    yield seen
    yield Finding("backend reference", Mark.GOOD, "runs wherever torch does")
    yield _kernel("backend C++", "cpp.py", probes["cpp"].text)
    yield _kernel("backend CuPy", "cupy.py", _cupy(probes["cupy"]))


def _kernel(subject: str, file: str, reason: str | None) -> Finding:
    """A kernel runs if this version of the package has it and nothing it needs is missing."""
    if not any(Path(__file__).parent.glob(f"ops/*/{file}")):
        return Finding(subject, Mark.LACKING, "not part of this version of qsnn-plugins")
    if reason:
        return Finding(subject, Mark.LACKING, reason)
    return Finding(subject, Mark.GOOD, "can run")


def _cupy(result: Probe) -> str | None:
    if not result.good:
        return f"CuPy does not import: {result.text}"
    return None if int(result.text) else "CuPy sees no device"


def commands() -> Iterator[Finding]:
    """Whose `lightning` answers, and who else claims the name."""
    take_back = f"pip install --force-reinstall --no-deps {OURS}"
    here = shutil.which("lightning", path=str(Path(sys.executable).parent))
    on_path = shutil.which("lightning")
    found = here or on_path
    if found is None:
        text = "there is none; `python -m qsnn_plugins fit ...` is the same"
        yield Finding("lightning", Mark.FATAL, text, take_back)
    elif not _leads_to_us(found):
        text = f"{found} is another package's; `qsnn fit ...` is ours"
        yield Finding("lightning", Mark.FATAL, text, take_back)
    elif on_path is None or not os.path.samefile(on_path, found):
        text = f"{found} is ours; the PATH leads to {on_path or 'none'}"
        yield Finding("lightning", Mark.GOOD, text, "activate the virtual environment")
    else:
        yield Finding("lightning", Mark.GOOD, f"{found} is ours")
    others = [owner for owner, entry in claims("lightning").items() if not is_ours(entry)]
    if others:
        text = f"every word but fit, validate, test and predict goes to {', '.join(others)}"
        yield Finding("also claimed", Mark.GOOD, text)


def _leads_to_us(script: str) -> bool:
    return b"qsnn_plugins" in Path(script).read_bytes()
