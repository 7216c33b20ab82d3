"""The closing table: rates against a count of our own, and no hook left behind."""

import re

import pytest
import torch

from qsnn_plugins.spikingjelly import QuantLIFNode

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice


def test_it_prints_accuracy_rates_and_memory(model, loader, trainer, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    nodes = {n: m for n, m in model.named_modules() if isinstance(m, QuantLIFNode)}
    outputs = {name: [] for name in nodes}
    for name, node in nodes.items():
        node.register_forward_hook(lambda _, __, s, name=name: outputs[name].append(s.mean()))
    results = trainer().test(model, loader, verbose=False)
    printed = capsys.readouterr().out

    accuracy = re.search(r"^test accuracy: (\d+\.\d) %$", printed, re.MULTILINE)
    assert float(accuracy[1]) == pytest.approx(100 * results[0]["test_accuracy"], abs=0.05)
    for name in nodes:
        row = next(
            line for line in printed.splitlines() if name.removeprefix("network.blocks.") in line
        )
        rate = float(torch.stack(outputs[name]).mean())
        assert f"{rate:.1%}" in row
    # 8·2·9 + 8·8·9 + 2·8 weights at 4 bits; 8·8·8 + 8·4·4 ternary membranes at 2
    assert re.search(r"weights +736 +368 +2,944", printed)
    assert re.search(r"membranes +640 +160 +2,560", printed)


def test_no_hook_is_left(model, loader, trainer):
    before = [dict(module._forward_hooks) for module in model.modules()]
    trainer().test(model, loader, verbose=False)
    assert [dict(module._forward_hooks) for module in model.modules()] == before
