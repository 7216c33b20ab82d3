"""The doctor is shown broken machines, and must say what is wrong and how to fix it."""

import os
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from qsnn_plugins import doctor
from qsnn_plugins.doctor import Mark, Probe

HEALTHY = {name: Probe(True, "") for name in doctor._PROBES} | {
    "torch": Probe(True, "CPU"),
    "device": Probe(False, "no GPU"),
    "cupy": Probe(False, "ModuleNotFoundError: No module named 'cupy'"),
    "torchvision": Probe(True, "registered"),
}


@pytest.fixture
def ours(tmp_path, monkeypatch):
    """A folder on the PATH whose `lightning` is ours."""
    script = tmp_path / "lightning"
    script.write_text(f"#!{sys.executable}\nfrom qsnn_plugins.cli import lightning\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "claims", lambda command: {})
    return script


@pytest.fixture
def report(ours, monkeypatch, capsys):
    """The exit status and the text for probes that differ from a healthy machine's."""

    def call(**probes):
        results = HEALTHY | probes
        answers = {code: results[name] for name, code in doctor._PROBES.items()}
        monkeypatch.setattr(doctor, "_together", lambda codes: iter(()))
        monkeypatch.setattr(doctor, "probe", lambda code: answers[code])
        status = doctor.main([])
        return status, capsys.readouterr().out

    return call


def only(findings, subject):
    (found,) = [finding for finding in findings if finding.subject == subject]
    return found


def test_healthy(report):
    status, text = report()
    assert status == 0
    assert "!!" not in text
    assert f"The main job can run: {doctor.MAIN_JOB}" in text


@pytest.mark.parametrize("broken", ["torch", "lightning", "spikingjelly", "digits", "ours"])
def test_what_the_main_job_needs_is_fatal(broken, report):
    status, text = report(**{broken: Probe(False, "ImportError: it is broken")})
    assert status == 1
    assert "ImportError: it is broken" in text
    assert "cannot run until everything marked !! is fixed" in text


@pytest.mark.parametrize("broken", ["snntorch", "torchaudio", "cupy", "device"])
def test_what_the_main_job_does_not_need_is_not_fatal(broken, report):
    status, _ = report(**{broken: Probe(False, "ImportError: it is broken")})
    assert status == 0


@pytest.mark.parametrize(
    ("result", "mark"),
    [
        (Probe(True, "native"), Mark.GOOD),
        (Probe(True, "registered"), Mark.GOOD),
        (Probe(True, "absent"), Mark.LACKING),
        (Probe(False, "No module named 'torch'"), Mark.FATAL),
    ],
)
def test_torchvision(result, mark):
    assert doctor._torchvision(result).mark is mark


def test_gpu_is_named():
    probes = HEALTHY | {"torch": Probe(True, "12.8"), "device": Probe(True, "NVIDIA H100")}
    assert only(doctor.backends(probes), "torch").text == "CUDA 12.8 build, sees NVIDIA H100"


def test_missing_package(monkeypatch):
    def version(name):
        if name == "lightning":
            raise PackageNotFoundError(name)
        return "99"

    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr(doctor, "requires", lambda name: ["lightning>=2.5.1"])
    found = only(doctor.packages(), "lightning")
    assert (found.mark, found.text) == (Mark.FATAL, "not installed")
    assert found.fix == "pip install 'lightning>=2.5.1'"


@pytest.mark.parametrize(
    ("name", "mark", "extra"),
    [("scikit-learn", Mark.FATAL, "demo"), ("pycocotools", Mark.LACKING, "detection")],
)
def test_missing_extra(monkeypatch, name, mark, extra):
    def version(asked):
        if asked == name:
            raise PackageNotFoundError(name)
        return "99"

    monkeypatch.setattr(doctor, "version", version)
    found = only(doctor.packages(), name)
    assert (found.mark, found.fix) == (mark, f"pip install 'qsnn-plugins[{extra}]'")


def test_extras_are_those_of_the_metadata():
    """Each extra that the doctor names is one of the package's, and brings what he says."""
    metadata = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    extras = metadata["project"]["optional-dependencies"]
    for name, extra in doctor._EXTRAS.items():
        assert any(line.startswith(name) for line in extras[extra])


def test_lines_are_printed_as_they_come(ours, monkeypatch, capsys):
    """What is known is printed while a probe still runs."""
    printed = {}

    def together(codes):
        for name in [*codes]:
            printed[name] = capsys.readouterr().out
            yield name, Probe(True, "1")

    monkeypatch.setattr(doctor, "_together", together)
    doctor.main([])
    assert "Packages" in printed["torch"]
    assert "host SpikingJelly" not in printed["spikingjelly"]
    assert "host SpikingJelly" in printed["snntorch"]


def test_one_interpreter_tries_all_and_another_goes_on_where_it_dies(monkeypatch):
    """A probe that fails is a line, and one that ends the interpreter is too."""
    codes = {
        "first": "import json; print(1); print(json.dumps('two'))",
        "missing": "import no_such_module",
        "deadly": "import os; os._exit(3)",
        "last": "print(__import__('sys').flags.utf8_mode >= 0)",
    }
    monkeypatch.setattr(doctor, "_PROBES", codes)
    started, popen = [], doctor.subprocess.Popen
    monkeypatch.setattr(
        doctor.subprocess, "Popen", lambda *args, **more: started.append(1) or popen(*args, **more)
    )
    assert dict(doctor.Probes()) == {
        "first": Probe(True, '"two"'),
        "missing": Probe(False, "ModuleNotFoundError: No module named 'no_such_module'"),
        "deadly": Probe(False, "exit 3"),
        "last": Probe(True, "True"),
    }
    assert len(started) == 3  # all of them, the deadly one again on its own, the rest


@pytest.mark.parametrize(
    ("installed", "mark"),
    [("4.38", Mark.FATAL), ("4.39.0", Mark.GOOD), ("4.99", Mark.GOOD), ("5.0", Mark.FATAL)],
)
def test_version_outside_the_range(installed, mark, monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda name: installed)
    monkeypatch.setattr(doctor, "requires", lambda name: ["jsonargparse[signatures]>=4.39,<5"])
    found = only(doctor.packages(), "jsonargparse")
    assert found.mark is mark
    assert ("is needed" in found.text) == (mark is Mark.FATAL)


def test_a_local_build_satisfies_its_version(monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda name: "2.13.0+cpu")
    monkeypatch.setattr(doctor, "requires", lambda name: ["torch>=2.6"])
    assert only(doctor.packages(), "torch").mark is Mark.GOOD


def test_old_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 2))
    assert only(doctor.packages(), "Python").mark is Mark.FATAL


def test_lightning_is_ours(ours):
    (found,) = doctor.commands()
    assert (found.mark, found.text) == (Mark.GOOD, f"{ours} is ours")


def test_lightning_belongs_to_another_package(ours):
    ours.write_text("from lightning_sdk.cli import main\n")
    (found,) = doctor.commands()
    assert found.mark is Mark.FATAL
    assert found.fix == "pip install --force-reinstall --no-deps qsnn-plugins"


def test_there_is_no_lightning(ours):
    ours.unlink()
    (found,) = doctor.commands()
    assert found.mark is Mark.FATAL
    assert "python -m qsnn_plugins fit" in found.text


def test_the_path_leads_elsewhere(ours, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "lightning").write_text("from lightning_sdk.cli import main\n")
    (other / "lightning").chmod(0o755)
    monkeypatch.setenv("PATH", str(other) + os.pathsep + str(tmp_path))
    (found,) = doctor.commands()
    assert found.text == f"{ours} is ours; the PATH leads to {other / 'lightning'}"
    assert found.fix == "activate the virtual environment"


def test_who_else_claims_the_name(ours, monkeypatch):
    class Entry:
        module = "lightning_sdk.cli.entrypoint"

    monkeypatch.setattr(doctor, "claims", lambda command: {"lightning-sdk": Entry()})
    assert "goes to lightning-sdk" in only(doctor.commands(), "also claimed").text


def test_probe_gives_the_last_line_or_the_reason():
    assert doctor.probe("print(1); print('two')") == Probe(True, "two")
    assert doctor.probe("import no_such_module") == Probe(
        False, "ModuleNotFoundError: No module named 'no_such_module'"
    )
    assert doctor.probe("import os; os._exit(3)") == Probe(False, "exit 3")


def test_it_takes_no_options(capsys):
    assert doctor.main(["--help"]) == 0
    assert "takes no options" in capsys.readouterr().out
    assert doctor.main(["everything"]) == 2
    assert "takes no options" in capsys.readouterr().err


def test_this_machine_has_what_the_tests_need():
    """The real probes: whatever stands in `_PROBES` is code that runs."""
    assert {name: doctor.probe(doctor._PROBES[name]).good for name in ("torch", "torchvision")} == {
        "torch": True,
        "torchvision": True,
    }
