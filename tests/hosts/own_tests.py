"""Run the hosts' own tests with our full-precision neurons in place of theirs.

    python -m tests.hosts.own_tests PATH_TO_SPIKINGJELLY_TESTS PATH_TO_SNNTORCH_TESTS

Each folder is run twice, as it is and with the neurons replaced before a test imports them. What
fails with ours alone is printed, and makes the exit status 1. Neither host's package has its tests:
they are in the hosts' repositories.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

_REPOSITORY = Path(__file__).parents[2]


def replace_spikingjelly() -> None:
    """Put our IF, LIF and PLIF neurons in place of SpikingJelly's, with its defaults."""
    import spikingjelly.activation_based.neuron as host

    from qsnn_plugins import spikingjelly as ours

    for name in ("IFNode", "LIFNode", "ParametricLIFNode"):
        _replace(getattr(host, name), _with_defaults_of(getattr(host, name), ours, f"Quant{name}"))


def _with_defaults_of(host: type, ours: Any, name: str) -> type:
    """Return our class of that name in full precision, with the arguments of the host's."""
    from qsnn_plugins.spec import QuantSpec

    base, arguments = getattr(ours, name), inspect.signature(host)

    def init(self: Any, *args: Any, **named: Any) -> None:
        bound = arguments.bind(*args, **named)
        bound.apply_defaults()
        base.__init__(self, **bound.arguments, spec=QuantSpec.full_precision())

    return type(host.__name__, (base,), {"__init__": init})


def replace_snntorch() -> None:
    """Put our Leaky and Lapicque neurons in place of snnTorch's, with its arguments."""
    import snntorch

    from qsnn_plugins import snntorch as ours
    from qsnn_plugins.snntorch.lapicque import leak_and_gain
    from qsnn_plugins.spec import QuantSpec

    host = snntorch.Lapicque

    class Lapicque(ours.QuantLapicque):
        def __init__(self, *args: Any, **named: Any) -> None:
            old, bound = host(*args, **named), inspect.signature(host).bind(*args, **named)
            made_of = ("beta", "R", "C", "time_step")
            rest = {name: bound.arguments[name] for name in bound.arguments if name not in made_of}
            leak, gain = leak_and_gain(old.time_step, old.R, old.C)
            super().__init__(leak, gain, **rest, spec=QuantSpec.full_precision())
            self.R, self.C, self.time_step = old.R, old.C, old.time_step  # the host's test asks

    _replace(snntorch.Leaky, _with_defaults_of(snntorch.Leaky, ours, "QuantLeaky"))
    _replace(host, Lapicque)


def _replace(old: type, new: type) -> None:
    """Put a class in place of another wherever a module of the host names it, save its own."""
    new.__module__, new.__qualname__ = __name__, new.__name__
    globals()[new.__name__] = new  # where pickle looks for it
    for module in list(sys.modules.values()):
        named = getattr(module, "__name__", "")
        if not named.startswith(old.__module__.partition(".")[0]) or named == old.__module__:
            continue
        for name, value in list(vars(module).items()):
            if value is old:
                setattr(module, name, new)


def pytest_runtest_setup() -> None:
    """Seed each test, so that two runs differ by the neurons alone."""
    import torch

    torch.manual_seed(0)


def pytest_configure() -> None:
    """Replace the neurons of the host that is asked for, before any test is imported."""
    import qsnn_plugins  # noqa: F401  # in both runs: torchvision runs beside any build of torch

    host = os.environ.get("REPLACED_HOST")
    if host:
        {"spikingjelly": replace_spikingjelly, "snntorch": replace_snntorch}[host]()


def _outcomes(tests: Path, host: str) -> dict[str, str]:
    """Return passed, skipped or the first line of the failure by the name of each test."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            *(sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=no"),
            *("-p", "own_tests", "-p", "no:cacheprovider", f"--junitxml={report}"),
            *("--continue-on-collection-errors", "--timeout=600", tests.name),
        ]
        paths = [str(Path(__file__).parent), str(_REPOSITORY), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "REPLACED_HOST": host, "PYTHONPATH": os.pathsep.join(paths)}
        subprocess.run(
            command, cwd=tests.parent, env=environment, stdout=subprocess.DEVNULL, check=False
        )
        cases = ElementTree.parse(report).iter("testcase")
        return {f"{case.get('classname')}::{case.get('name')}": _outcome(case) for case in cases}


def _outcome(case: ElementTree.Element) -> str:
    for child in case:
        if child.tag in ("failure", "error"):
            return (child.get("message") or child.tag).splitlines()[0]
        if child.tag == "skipped":
            return "skipped"
    return "passed"


def main() -> int:
    """Compare the two runs of each host; return how the process ends."""
    only_ours = 0
    for host, folder in zip(("spikingjelly", "snntorch"), sys.argv[1:], strict=True):
        tests = Path(folder).resolve()
        theirs, ours = _outcomes(tests, ""), _outcomes(tests, host)
        failed, failed_with_ours = _failures(theirs), _failures(ours)
        print(
            f"{host}: {len(theirs)} tests, {list(theirs.values()).count('skipped')} skipped, "
            f"{len(failed)} fail with its own neurons, {len(failed_with_ours)} with ours"
        )
        for name in [name for name in failed_with_ours if name not in failed]:
            print(f"  with ours alone: {name}\n    {ours[name]}")
            only_ours += 1
    return 1 if only_ours else 0


def _failures(outcomes: dict[str, str]) -> list[str]:
    return [name for name, outcome in outcomes.items() if outcome not in ("passed", "skipped")]


if __name__ == "__main__":
    sys.exit(main())
