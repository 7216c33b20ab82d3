"""The pages that people start from: their Python runs in order and prints what they show."""

import re
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch

from qsnn_plugins import presets
from qsnn_plugins.cli import lightning, qsnn
from qsnn_plugins.cost import report
from qsnn_plugins.data import EventDigits, digits
from qsnn_plugins.export import to_integer
from qsnn_plugins.models import StringNet
from qsnn_plugins.reproduce import read_results
from qsnn_plugins.spec import QuantSpec

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
PAGES = [
    "README.md",
    "docs/quantize.md",
    "docs/start.md",
    "docs/concepts.md",
    "docs/choosing.md",
    "docs/questions.md",
    "docs/recipes.md",
    "docs/data.md",
    "docs/snntorch.md",
    pytest.param("docs/spikingjelly.md", marks=pytest.mark.slow),
    pytest.param("docs/deploy.md", marks=pytest.mark.slow),
]


def masked(text):
    """What does not depend on how a network was trained: no figures, no widths of columns."""
    return re.sub(r"[\d.,]*\d", "#", text).split()


def run(text, folder, monkeypatch, capsys):
    """Run the blocks of a page in one namespace, on the first digits alone."""
    images, labels, _, _ = digits._load()
    few, places = images[:256], np.arange(256)
    monkeypatch.setattr(digits, "_load", lambda: (few, labels[:256], places[:128], places[128:]))
    monkeypatch.chdir(folder)
    names = {"__name__": "page"}
    blocks = BLOCK.findall(text)
    assert blocks
    with torch.random.fork_rng():
        for code, shown in blocks:
            exec(code, names)
            printed = capsys.readouterr().out
            if shown:
                assert masked(printed) == masked(shown), code
    return names


@pytest.mark.parametrize("page", PAGES)
def test_its_python_runs_and_prints_what_is_shown(page, tmp_path, monkeypatch, capsys):
    run((ROOT / page).read_text(encoding="utf-8"), tmp_path, monkeypatch, capsys)


def test_a_network_of_ones_own_trains_by_a_recipe(tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    text = text.partition("### A network of your own")[2]
    (tmp_path / "mine.py").write_text(BLOCK.search(text)[1])
    (tmp_path / "mine.yaml").write_text(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    short = ["--trainer.fast_dev_run=true", "--trainer.enable_progress_bar=false"]
    monkeypatch.setattr(sys, "argv", ["lightning", "fit", "-c", "mine.yaml", *short])
    assert lightning() == 0
    monkeypatch.setattr(sys, "argv", ["qsnn", "cost", "-c", "mine.yaml"])
    assert qsnn() == 0
    assert "S-ACE" in capsys.readouterr().out
    names = {}
    exec((tmp_path / "mine.py").read_text(), names)
    to_integer(names["Net"](2, 10, "imsnn"), torch.ones(2, 1, *EventDigits().frame_shape))


@pytest.mark.slow
def test_the_first_page_serves_the_other_host_too(tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs/quantize.md").read_text(encoding="utf-8")
    other = text.replace("= SpikingJellyNet()", "= SnnTorchNet()")
    assert other.count("= SnnTorchNet()") == 3
    for host, plugin in (("LIFNode", "Leaky"), ("QuantLIFNode", "QuantLeaky"), ("Sigmoid", "atan")):
        other = re.sub(rf"\b{host}\b(?=[^\n]*triangle)", plugin, other)
    names = run(other, tmp_path, monkeypatch, capsys)
    assert isinstance(names["network"], names["SnnTorchNet"])


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p}.md" for p in ("start", "recipes"))])
def test_the_files_of_its_commands_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    files = re.findall(
        r"-c (recipes/[\w./]+)", "\n".join(re.findall(r"```sh\n(.*?)```", text, re.S))
    )
    assert files
    assert [file for file in files if not (ROOT / file).is_file()] == []


@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
def test_neurons_have_the_arguments_that_a_hosts_page_gives_them(host):
    text = (ROOT / f"docs/{host}.md").read_text(encoding="utf-8")
    names = vars(import_module(f"qsnn_plugins.{host}"))
    calls = [call for call in re.findall(r"`(\w+)\(([^()]*)\)`", text) if call[0] in names]
    assert len(calls) >= 4
    for name, given in calls:
        signature(names[name]).bind_partial(**dict.fromkeys(re.findall(r"(\w+)=", given)))


def test_a_page_with_the_hosts_nir_exporters_says_what_they_import():
    """Neither the hosts nor an extra but `dev` brings it, so the run of the page cannot tell."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md")]
    using = [text for text in texts if re.search(r"import.*export_(to_)?nir", text)]
    assert using
    assert all("`pip install nirtorch`" in text for text in using)


@pytest.mark.slow
def test_the_export_to_nir_of_either_host_runs_by_itself():
    """Readers copy the block of their host; the whole page would have what it forgets to import."""
    text = (ROOT / "docs/deploy.md").read_text(encoding="utf-8").partition("\n## NIR\n")[2]
    blocks = [code for code, _ in BLOCK.findall(text.partition("\n## ")[0])]
    assert len(blocks) == 3
    for code in (blocks[0], blocks[1], blocks[0] + blocks[2]):
        names = {}
        with torch.random.fork_rng():
            exec(code, names)
        assert len(names["graph"].nodes) == 4


def test_every_overlay_is_listed():
    text = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    table = re.search(r"^\| overlay \|.*?\n\n", text, re.MULTILINE | re.DOTALL).group()
    listed = {
        name
        for row in table.strip().splitlines()[2:]
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert listed == {path.stem for path in (ROOT / "recipes/overlays").glob("*.yaml")}


@pytest.mark.slow
def test_what_specs_cost_is_what_the_counter_says():
    text = (ROOT / "docs/choosing.md").read_text(encoding="utf-8")
    layers = "32C3-AP2-56C3x2-AP2-112C3x2-AP2-224C3-GAP-FC10"
    lines = re.findall(
        r"^\| (?:`(\w+\(.*?\))`|float) \| \S+ \| (\d) \| (.*) \|[^|]*\|$", text, re.MULTILINE
    )
    assert len(lines) == 12
    for call, steps, shown in lines:
        spec = eval(call, vars(presets)) if call else QuantSpec.full_precision()
        network = StringNet(layers, in_channels=3, conv_bias=False, spec=spec)
        cost = report(network, None, input_shape=(int(steps), 1, 3, 32, 32), activity=0.1)
        memory = cost.memory("chip")
        sizes = sum(memory.parameters.values()), memory.membranes
        operations = sum(synapse.s_ace for synapse in cost.synapses)
        counted = [*(f"{size / 1e3:,.1f}" for size in sizes), f"{operations / 1e6:.1f}"]
        assert [cell.split()[0] for cell in shown.split(" | ")] == counted, call


# Row of the comparison's tables: as docs/choosing.md calls its spec.
CHOICES = {
    "float": "float",
    "IM-SNN, W4 U1.5": "`imsnn(weight_bits=4)`",
    "IM-SNN, W2 U1.5": "`imsnn(weight_bits=2)`",
    "SpQuant-SNN, W4 U1.58": "`spquant(weight_bits=4)`",
    "Q-SNN, 1w-4u": "`qsnn(membrane_bits=4)`",
    "Q-SNN, 1w-2u": "`qsnn(membrane_bits=2)`",
    "Q-SNN, 1w-2u, fixed scale": '`resolve({"preset": "qsnn", "membrane": {"scale": "fixed"}})`',
    "linear sigmoids, 2-bit": "`sigmoid_quantizer(weight_bits=2)`",
    "linear sigmoids, 1-bit": "`sigmoid_quantizer(weight_bits=1)`",
    "bit budget, W4 S1 T4": "`bit_budget(weight_bits=4, spike_bits=1)`",
    "bit budget, W2 S2 T2": "`bit_budget(weight_bits=2, spike_bits=2)`",
    "bit budget, W1 S4 T1": "`bit_budget(weight_bits=1, spike_bits=4)`",
}


def test_what_specs_reach_is_what_was_recorded():
    text = (ROOT / "docs/choosing.md").read_text(encoding="utf-8")
    row = re.compile(r"^\| (float|`\w+\(.*?\)`) \| (\S+) \| \d \|", re.MULTILINE)
    shown, recorded = dict(row.findall(text)), dict.fromkeys(CHOICES.values(), "–")
    for name, call in CHOICES.items():
        names = (name, f"{name}, from float")
        values = [
            result.value
            for result in read_results(ROOT / "docs/results/cifar10_cpu.json")
            if result.row in names and not result.changes
        ]
        if values:
            recorded[call] = f"{fmean(values):.1f}"
    assert shown == recorded
