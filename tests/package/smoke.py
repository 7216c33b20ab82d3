"""What an installed package must do: `python -I smoke.py EXTRA...`, outside the checkout.

It needs nothing but what is installed: the base, and the extras that are named.
"""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import torch
from snntorch import Leaky
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

import qsnn_plugins
from qsnn_plugins import export, inject, load, presets, save
from qsnn_plugins.errors import DependencyError
from qsnn_plugins.models import StringNet
from qsnn_plugins.ops import quantized_lif
from qsnn_plugins.snntorch import reset_net

ROOT = Path(qsnn_plugins.__file__).parent
BIN = Path(sys.executable).parent
RECIPES = "-c", "recipes/spquant_vgg9.yaml", "-c", "recipes/overlays/embedded.yaml"


def say(*command):
    """What a command prints; it must succeed."""
    done = subprocess.run([BIN / command[0], *command[1:]], capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def check_installed():
    assert "site-packages" in ROOT.parts, ROOT
    assert importlib.metadata.version("qsnn-plugins") == qsnn_plugins.__version__
    assert (ROOT / "py.typed").exists()


def check_hosts():
    torch.manual_seed(0)
    x_seq = torch.rand(3, 2, 2, 8, 8) * 2
    theirs = [layer.Conv2d(2, 4, 3, bias=False), neuron.LIFNode(), layer.Flatten()]
    network = nn.Sequential(*theirs, layer.Linear(144, 3))
    functional.set_step_mode(network, "m")
    assert inject(network, presets.imsnn(weight_bits=4)).replaced
    network(x_seq).sum().backward()
    assert any(parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    network = nn.Sequential(nn.Linear(128, 3), Leaky(0.5, init_hidden=True))
    assert inject(network, "imsnn").replaced
    reset_net(network)
    assert network(x_seq[0].flatten(1)).shape == (2, 3)


def check_kernel():
    x_seq, parameters = torch.randn(4, 2, 9), quantized_lif.Parameters()
    ours, theirs = (
        quantized_lif.quantized_lif(x_seq, 0.0, 1.0, parameters, backend=backend)[0]
        for backend in ("cpp", "reference")
    )
    assert torch.equal(ours, theirs)


def check_deployment():
    network = StringNet("4C3-AP2-GAP-FC3", spec=presets.imsnn(weight_bits=4)).eval()
    frames = torch.randint(0, 3, (3, 2, 2, 8, 8)).float()
    save(network, "network.safetensors")
    assert torch.equal(load("network.safetensors")(frames), network(frames))
    integer = export.to_integer(network, frames)
    assert torch.equal(integer.compile()(frames)[0], integer(frames)[0])
    integer.to_c("program")
    assert Path("program", "network.c").exists()


def check_commands(extras):
    assert qsnn_plugins.__version__ in say("qsnn", "--version")
    assert "Table" in say("qsnn", "reproduce", "imsnn")
    assert "spikes" in say("qsnn", "cost", *RECIPES, "--input_shape=4,1,2,24,24")
    if "demo" in extras:
        assert "The main job can run" in say("qsnn", "doctor")
        say("lightning", "fit", *RECIPES, "--trainer.fast_dev_run=true")


def check_extras(extras):
    """Each extra brings what it is for; without it, one error says so."""
    from qsnn_plugins.data import Digits
    from qsnn_plugins.functional import YoloGrid
    from qsnn_plugins.lightning import SpikingDetector
    from qsnn_plugins.plot import Distribution, distributions_figure, save_figure

    shares = {"a": [Distribution("conv", (0.0, 1.0), (0.9, 0.1))]}

    uses = {
        "demo": lambda: Digits().setup(),
        "detection": lambda: SpikingDetector(StringNet("4C3-GAP-FC28"), grid=YoloGrid(2, 2, 1, 2)),
        "plot": lambda: save_figure(distributions_figure(shares, shares), "figure"),
    }
    for extra, use in uses.items():
        try:
            use()
            found = True
        except DependencyError:
            found = False
        # a host may bring the same package
        assert found or extra not in extras, extra
    if "aedat" in extras:
        import aedat  # noqa: F401


if __name__ == "__main__":
    given = set(sys.argv[1:])
    known = (
        given | {"aedat", "demo", "detection", "plot"} if given & {"all", "dev", "docs"} else given
    )
    check_installed()
    check_hosts()
    check_kernel()
    check_deployment()
    check_commands(known)
    check_extras(known)
    print(f"qsnn-plugins {qsnn_plugins.__version__} with {sorted(given) or 'no extra'}: ok")
