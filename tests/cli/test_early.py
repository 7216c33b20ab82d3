"""Help, and the mistakes that can be seen in words and files, need nothing heavy."""

import json
import subprocess
import sys

import pytest

from tests.cli.conftest import RECIPE
from tests.cli.plotting import RESULT

HEAVY = ("torch", "numpy", "lightning", "jsonargparse", "matplotlib", "spikingjelly", "snntorch")
TOOLS = ("cost", "export", "plot", "reproduce", "recipes", "measure", "doctor")
HELP = [[word, "--help"] for word in ("fit", "validate", "test", "predict", *TOOLS)]
GOOD = ["-c", "good.yaml"]
EXPORT = ["export", *GOOD, "--ckpt_path=last", "--to=c"]
MISTAKES = [
    (["fit", "-c", "no.yaml"], "there is no recipe no.yaml"),
    (["fit", "-c", "lost.yaml"], "lost.yaml: base: there is no recipe no.yaml"),
    (["fit", "--foo=1"], "unknown option --foo=1"),
    (["fit", "good.yaml"], "good.yaml on the command line needs -c before it: -c good.yaml"),
    (
        ["fit", "-c", "open.yaml"],
        "open.yaml: weights_only: this is allowed only on the command line",
    ),
    (["test", *GOOD, "--ckpt_path=no.ckpt"], "--ckpt_path: there is no file 'no.ckpt'"),
    (["cost", "-c", "no.yaml"], "there is no recipe no.yaml"),
    (["cost", *GOOD, "--rates=x"], "qsnn cost: argument --rates: invalid float value"),
    (["cost", *GOOD, "--ckpt_path=no.ckpt"], "--ckpt_path: there is no file 'no.ckpt'"),
    (["cost", *GOOD, "--convention=guess"], "--convention='guess' is not allowed: give one of"),
    (["cost", *GOOD, "--energy=guess"], "--energy='guess' is not allowed: give one of"),
    (["cost", *GOOD, "--energy=good.yaml"], "--energy='good.yaml' is not allowed: give a YAML"),
    (["cost", *GOOD, "--input_shape=x"], "--input_shape='x' is not allowed: give integers"),
    (["cost", *GOOD, "--input_shape=4,1,0"], "--input_shape='4,1,0' is not allowed: give integers"),
    (["cost", *GOOD, "--input_shape=4,-1,2"], "--input_shape='4,-1,2' is not allowed: give"),
    (["cost", *GOOD, "--ckpt_changes=allow"], "--ckpt_changes: allow is not allowed: give it tog"),
    (["fit", *GOOD, "--ckpt_changes", "allow"], "--ckpt_changes: allow is not allowed: give it"),
    (["test", *GOOD, "--weights_only=False"], "--weights_only: false is not allowed: give it"),
    (["cost", *GOOD, "--spatial=0.1"], "--spatial=0.1 is not allowed: give it together with"),
    ([*EXPORT, "--out=good.yaml"], "--out: good.yaml is a file, not a folder"),
    ([*EXPORT, "--out=good.yaml/below"], "--out: good.yaml is a file, not a folder"),
    ([*EXPORT, "--out=/dev/null/below"], "--out: /dev/null is a file, not a folder"),
    ([*EXPORT, "--out=x", "--batches=0"], "--batches=0 is not allowed: give an integer from 1"),
    (["plot"], "qsnn plot: give a figure as the first word: membranes"),
    (["plot", "-c", "x.yaml"], "qsnn plot: give a figure as the first word: membranes"),
    (["plot", "pie"], "qsnn plot has no figure 'pie'"),
    (["plot", "rates", *GOOD], "rates needs trained networks: give a --ckpt_path for each"),
    (["plot", "rates", *GOOD, "--ckpt_path=no.ckpt"], "--ckpt_path: there is no file 'no.ckpt'"),
    (["plot", "bits", "none"], "there is no file of results none"),
    (["plot", "bits", "bad"], "bad/bad.json: Expecting"),
    (
        ["plot", "tradeoff", "--convention=guess"],
        "--convention='guess' is not allowed: give one of",
    ),
    (["plot", "tradeoff"], "accuracies on TinyData, OtherData cannot be compared"),
    (["reproduce", "nobody"], "paper='nobody' is not allowed"),
    (["reproduce", "--table=XX"], "--table='XX' is not allowed: give one that is there"),
    (["reproduce", "--foo"], "qsnn reproduce: unrecognized arguments: --foo"),
    (["reproduce", "--results=bad"], "bad/bad.json: Expecting"),
    (["recipes", "--foo"], "usage: qsnn recipes"),
    (["recipes", "--check"], "recipes/README.md is out of date"),
    (["measure"], "qsnn measure: the following arguments are required: -c/--config"),
    (["measure", "-c", "no.yaml"], "no table row is trained by no.yaml"),
    (["measure", "-c", "no.yaml", "--jobs=0"], "--jobs=0 is not allowed: give a number"),
    (["measure", "-c", "no.yaml", "--seeds=-1"], "--seeds=-1 is not allowed: give integers from 0"),
    (["doctor", "--foo"], "usage: qsnn doctor"),
    (["nothing"], "qsnn has no command 'nothing'"),
]
ASK = f"""
import contextlib, io, json, sys
from qsnn_plugins import cli
for words in json.loads(sys.argv[1]):
    sys.argv = ["qsnn", *words]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.qsnn()
        except SystemExit as stop:
            status = stop.code
    heavy = [name for name in {HEAVY} if name in sys.modules]
    print(json.dumps([status, out.getvalue(), err.getvalue(), heavy]))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Status, output, errors and heavy imports so far of each command line, in one process."""
    folder = tmp_path_factory.mktemp("early")
    other = "data: {class_path: tiny.OtherData}"
    files = {"good": RECIPE, "other": other, "lost": "base: no.yaml", "open": "weights_only: 0"}
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / RESULT["recipe"]).parent.mkdir()
    (folder / RESULT["recipe"]).write_text(RECIPE)
    results = [RESULT | {"overrides": words} for words in ([], ["-c", "other.yaml"])]
    for name, text in {"docs/results": json.dumps(results), "bad": "{"}.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "runs.csv").touch()
        (folder / name / "bad.json").write_text(text)
    words = [*HELP, *(words for words, _ in MISTAKES)]
    process = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(words)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = map(json.loads, process.stdout.splitlines())
    return {tuple(each): line for each, line in zip(words, lines, strict=True)}


@pytest.mark.parametrize("words", HELP, ids=lambda words: words[0])
def test_help_goes_to_standard_output(words, answers):
    status, out, err, heavy = answers[tuple(words)]
    assert (status, err, heavy) == (0, "", [])
    assert f"qsnn {words[0]}" in out


@pytest.mark.parametrize(("words", "sentence"), MISTAKES, ids=lambda value: " ".join(value)[:40])
def test_a_mistake_is_found_before_anything_heavy_is_imported(words, sentence, answers):
    status, out, err, heavy = answers[tuple(words)]
    assert (status in (1, 2), out, heavy) == (True, "", [])
    assert err.removeprefix("error: ").startswith(sentence)
    assert err.count("\n") == 1
