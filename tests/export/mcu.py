"""Networks in C on an emulated Cortex-M3: bytes, instructions, answers.

    python -m tests.export.mcu DIR -c RECIPE [-c OVERLAY] --ckpt_path FILE [--samples N]

runs what `qsnn export --to c --out DIR` wrote of the same recipe and checkpoint on test samples,
and compares with the network in PyTorch and with the integers. Nothing is installed.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from qsnn_plugins.cli.built import BuiltRecipe
from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.exporting import SampleBatches
from qsnn_plugins.cost.neurons import reset_states
from qsnn_plugins.errors import QSNNError
from qsnn_plugins.export import to_integer
from qsnn_plugins.export.c.write import _named

TOOLS = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "arm-none-eabi-objdump": "binutils-arm-none-eabi",
    "arm-none-eabi-size": "binutils-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}
HEADERS = Path("/usr/include/newlib"), Path("/usr/lib/arm-none-eabi/include")
MISSING = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
MISSING += [] if any(each.exists() for each in HEADERS) else ["libnewlib-arm-none-eabi"]

FLASH = 3_000_000  # bytes for samples
BOARD = Path(__file__).parent / "board"
FLAGS = "-mcpu=cortex-m3", "-mthumb", "-O2", "-std=c99"
STRICT = "-Wall", "-Wextra", "-Wconversion", "-Werror"


def run(*command, text=None):
    result = subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, timeout=1700
    )
    if result.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {result.returncode}:\n{result.stderr}")
    return result.stdout


def compiled(folder, name="network"):
    target = folder / f"{name}.o"
    run("arm-none-eabi-gcc", *FLAGS, *STRICT, "-c", folder / f"{name}.c", "-o", target)
    return target


def instructions(program):
    """Mnemonics, and the functions that are called."""
    text = run("arm-none-eabi-objdump", "-dr", program)
    names = [line.split("\t")[2].strip() for line in text.splitlines() if line.count("\t") >= 2]
    called = set(re.findall(r"R_ARM_THM_(?:CALL|JUMP24)\s+(\S+)", text))
    return [re.sub(r"\.[wn]$", "", name) for name in names], called


def products(names):
    """Of instructions, those that multiply."""
    return [name for name in names if re.match("[us]?m(ul|la|ls)", name)]


def account(program):
    """Bytes of flash and of RAM, and how many instructions multiply."""
    sizes = run("arm-none-eabi-size", program).splitlines()[1].split()
    text, data, bss = map(int, sizes[:3])
    return text + data, data + bss, len(products(instructions(program)[0]))


def on_board(integer, frames, folder):
    """Classes [N] and summed answers [N, K] that the emulated board prints."""
    size = frames[:, :1].numel() * 4
    parts = [_on_board(integer, some, folder) for some in frames.split(max(1, FLASH // size), 1)]
    return tuple(map(torch.cat, zip(*parts, strict=True)))


def _on_board(integer, frames, folder):
    values = integer.quantize(frames).transpose(0, 1).flatten().tolist()
    samples = (
        f"#define SAMPLES {frames.shape[1]}\n#define STEPS {frames.shape[0]}\n"
        f"static const qsnn_input_t samples[] = {{{','.join(map(str, values))}}};\n"
    )
    header = (folder / "network.h").read_text()
    prefix = re.search(r"^void (\w+)_reset\(void\);", header, re.MULTILINE)[1]
    (folder / "samples.h").write_text(_named(samples, prefix))
    board = _named((BOARD / "board.c").read_text(), prefix)
    program = folder / "board.elf"
    run("arm-none-eabi-gcc", *FLAGS, "-ffreestanding", "-nostartfiles", f"-I{folder}",
        "-x", "c", "-", "-x", "none", folder / "network.o", "-T", BOARD / "board.ld",
        "-o", program, text=board)  # fmt: skip
    printed = run("qemu-system-arm", "-M", "mps2-an385", "-display", "none",
                  "-chardev", "stdio,id=host", "-semihosting-config",
                  "enable=on,target=native,chardev=host", "-kernel", program)  # fmt: skip
    rows = [[int(word, 16) for word in line.split()] for line in printed.splitlines()]
    whole = [[v - 2**64 if v >= 2**63 else v for v in row] for row in rows]
    table = torch.tensor(whole)
    return table[:, 0], table[:, 1:]


def main(words):
    parser = argparse.ArgumentParser(prog="python -m tests.export.mcu")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ckpt_path", required=True)
    parser.add_argument("--samples", type=int, default=100)
    given, others = parser.parse_known_args(words)
    if MISSING:
        sys.exit(f"error: the Debian packages {', '.join(MISSING)} are missing")
    if not (given.folder / "network.c").is_file():
        sys.exit(f"error: {given.folder} holds no network.c: `qsnn export --to c` writes one")
    try:
        built = BuiltRecipe.build(Composition.of(others), given.ckpt_path)
    except QSNNError as error:
        sys.exit(f"error: {error}")
    network = built.model.eval().network
    built.datamodule.prepare_data()
    built.datamodule.setup("test")
    found = []
    for frames, _ in SampleBatches(built, getattr(built.model, "time_steps", None), None):
        found.append(frames)
        if sum(each.shape[1] for each in found) >= given.samples:
            break
    frames = torch.cat(found, 1)[:, : given.samples]
    integer = to_integer(network, found[0])
    reset_states(network)
    with torch.no_grad():
        answer = network(frames)
    classes = (answer.sum(0) if answer.dim() > 2 else answer).argmax(1)
    flash, ram, multiplies = account(compiled(given.folder))
    print(
        f"flash: {flash:,} bytes (account "
        f"{sum(each.weights + each.bounds for each in integer.accounts):,})\n"
        f"RAM: {ram:,} bytes, of which states "
        f"{sum(each.states for each in integer.accounts):,}\n"
        f"multiply instructions: {multiplies}"
    )
    own, sums = on_board(integer, frames, given.folder)
    equal = int((sums == integer(frames)[0].flatten(2).sum(0)).all(1).sum())
    same = int((own == classes).sum())
    print(
        f"the class of PyTorch for {same} of {len(own)} samples, the integers' answers to the bit "
        f"for {equal}"
    )
    return int(equal < len(own))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
