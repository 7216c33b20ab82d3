"""Networks on a Cortex-M3, emulated: answers, instructions, bytes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from qsnn_plugins import presets
from qsnn_plugins.export import to_integer
from qsnn_plugins.models import StringNet
from tests.export.c_programs import constants
from tests.export.random_networks import random_frames, random_network

TOOLS = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "arm-none-eabi-objdump": "binutils-arm-none-eabi",
    "arm-none-eabi-size": "binutils-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}
HEADERS = Path("/usr/include/newlib"), Path("/usr/lib/arm-none-eabi/include")
MISSING = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
MISSING += [] if any(each.exists() for each in HEADERS) else ["libnewlib-arm-none-eabi"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING), reason=f"the Debian packages {', '.join(MISSING)} are missing"
    ),
]

BOARD = Path(__file__).parent / "board"
FLAGS = "-mcpu=cortex-m3", "-mthumb", "-O2", "-std=c99"
STRICT = "-Wall", "-Wextra", "-Wconversion", "-Werror"
SAMPLES = 100


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=1700).stdout


def compiled(folder):
    run(
        "arm-none-eabi-gcc", *FLAGS, *STRICT, "-c", folder / "network.c", "-o", folder / "network.o"
    )
    return folder / "network.o"


def instructions(program):
    """Mnemonics, and the functions that are called."""
    text = run("arm-none-eabi-objdump", "-dr", program)
    names = [line.split("\t")[2].strip() for line in text.splitlines() if line.count("\t") >= 2]
    called = set(re.findall(r"R_ARM_THM_(?:CALL|JUMP24)\s+(\S+)", text))
    return [re.sub(r"\.[wn]$", "", name) for name in names], called


def products(names):
    """Of instructions, those that multiply."""
    return [name for name in names if re.match("[us]?m(ul|la|ls)", name)]


def on_board(integer, frames, folder):
    """Classes [N] and summed answers [N, K] that the emulated board prints."""
    values = integer.quantize(frames).transpose(0, 1).flatten().tolist()
    (folder / "samples.h").write_text(
        f"#define SAMPLES {frames.shape[1]}\n#define STEPS {frames.shape[0]}\n"
        f"static const qsnn_input_t samples[] = {{{','.join(map(str, values))}}};\n"
    )
    program = folder / "board.elf"
    run("arm-none-eabi-gcc", *FLAGS, "-ffreestanding", "-nostartfiles", f"-I{folder}",
        BOARD / "board.c", folder / "network.o", "-T", BOARD / "board.ld",
        "-o", program)  # fmt: skip
    printed = run("qemu-system-arm", "-M", "mps2-an385", "-display", "none",
                  "-chardev", "stdio,id=host", "-semihosting-config",
                  "enable=on,target=native,chardev=host", "-kernel", program)  # fmt: skip
    rows = [[int(word, 16) for word in line.split()] for line in printed.splitlines()]
    whole = [[v - 2**64 if v >= 2**63 else v for v in row] for row in rows]
    table = torch.tensor(whole)
    return table[:, 0], table[:, 1:]


@pytest.fixture(scope="module")
def demo():
    """The network of `make demo`, and frames of its size."""
    torch.manual_seed(0)
    layers = "64C3-128C3-AP2-256C3-256C3-AP2-512C3-512C3-AP2-1024C3-GAP-FC1024-FC10"
    spec = presets.spquant(weight_bits=4, pruned=False)
    net = StringNet(layers, in_channels=2, input_size=(24, 24), spec=spec, width=0.25)
    # as after training, every layer fires
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 1, 3)
            torch.nn.init.normal_(module.bias, 0.2, 0.5)
            module.running_var.uniform_(0.2, 1)
        elif isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.bias, 0, 0.5 if module.out_features > 10 else 0.01)
    net.eval()
    frames = (torch.rand(6, SAMPLES, 2, 24, 24) < 0.1).float()
    return to_integer(net, frames[:1, :1]), frames


@pytest.mark.timeout(1800)
def test_the_demo_network_on_a_cortex_m3(demo, tmp_path, capsys):
    integer, frames = demo
    assert integer.multiplications == 0
    integer.to_c(tmp_path)
    program = compiled(tmp_path)
    names, called = instructions(program)
    assert not [name for name in names if name.startswith("v")]
    assert not {name for name in called if name.startswith("__aeabi")}
    text, data, bss = map(int, run("arm-none-eabi-size", program).splitlines()[1].split()[:3])
    said = constants(tmp_path)
    account = sum(each.weights + each.bounds for each in integer.accounts)
    states = sum(each.states for each in integer.accounts)
    with capsys.disabled():
        print(
            f"\nflash: {text:,} bytes, of which tables {said['TABLE_BYTES']:,}"
            f" (account {account:,}), values of codes {said['LEVEL_BYTES']:,}, and code the rest"
            f"\nRAM: {data + bss:,} bytes, of which states {states:,} (account)"
            f"\nmultiplications, all of addresses: {len(products(names))}"
        )
    classes, sums = on_board(integer, frames, tmp_path)
    expected = integer(frames)[0].sum(0)
    assert len(expected.unique(dim=0)) > SAMPLES // 2
    assert torch.equal(sums, expected)
    assert len(classes.unique()) > 1
    assert torch.equal(classes, expected.argmax(1))
    assert said["TABLE_BYTES"] == account
    assert data == 0
    assert bss == said["RAM_BYTES"]
    assert products(names) == []


@pytest.mark.parametrize("seed", range(4))
def test_any_network_on_a_cortex_m3(seed, tmp_path):
    integer = random_network(seed)
    frames = random_frames(integer, seed)
    integer.to_c(tmp_path)
    names, called = instructions(compiled(tmp_path))
    assert products(names) or not integer.multiplications
    assert not [name for name in names if name.startswith("v")]
    assert not {name for name in called if re.match("__aeabi_[fd]|__aeabi_.*div", name)}
    _, sums = on_board(integer, frames, tmp_path)
    assert torch.equal(sums, integer(frames)[0].flatten(2).sum(0))
