"""What a caller gives that is not allowed is one sentence that names it."""

import subprocess

import numpy as np
import pytest
import torch
from torch import nn

from qsnn_plugins import eject, export, inject, load, save
from qsnn_plugins.errors import ArgumentError, ExportError
from tests.export.c_programs import needs_gcc
from tests.export.networks import counts, string_net
from tests.toolchain import needs_compiler


@pytest.fixture(scope="module")
def integer():
    return export.to_integer(string_net(), counts())


@pytest.fixture(scope="module")
def compiled(integer):
    return integer.compile(1)


NO_PATHS = None, 3, 1.5, b"network", "", "a\0b", ["network"], torch.zeros(1)


@pytest.mark.parametrize("path", NO_PATHS, ids=repr)
@pytest.mark.parametrize("call", ["save", "load", "integer.save", "integer.to_c", "export.load"])
def test_what_is_no_path(call, path, integer):
    calls = {
        "save": lambda: save(nn.Linear(2, 2), path),
        "load": lambda: load(path),
        "integer.save": lambda: integer.save(path),
        "integer.to_c": lambda: integer.to_c(path),
        "export.load": lambda: export.load(path),
    }
    with pytest.raises(ArgumentError, match=r"(path|folder)=.* is not allowed: give a path, as a"):
        calls[call]()


def test_where_nothing_can_be_written(integer, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    for write in (lambda path: save(nn.Linear(2, 2), path), integer.save):
        for path in (tmp_path, file / "network", tmp_path / "none" / "network"):
            with pytest.raises(ArgumentError, match=r"path='.*' is not allowed: give a path that"):
                write(path)
    for folder in (file, file / "folder"):
        with pytest.raises(ArgumentError, match=r"folder='.*' is not allowed: give a path that"):
            integer.to_c(folder)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "mine"


def test_where_nothing_can_be_read(tmp_path):
    for read in (load, export.load):
        for path in (tmp_path, tmp_path / "none", tmp_path / "none" / "none"):
            with pytest.raises(ExportError, match=r"cannot be read as safetensors|is a folder"):
                read(path)


def test_what_is_no_network(tmp_path):
    save(nn.Linear(2, 2), tmp_path / "network")
    for network in (None, "net", [nn.Linear(2, 2)], nn.Linear):
        with pytest.raises(ArgumentError, match=r"network=.* is not allowed"):
            save(network, tmp_path / "other")
    for network in ("net", 3):
        with pytest.raises(ArgumentError, match=r"network=.* is not allowed"):
            load(tmp_path / "network", network)
    for nodes in (None, (), [1], (nn.Linear(2, 2),)):
        with pytest.raises(ArgumentError, match=r"nodes=.* is not allowed: give nodes"):
            export.IntegerNetwork(nodes)


@pytest.mark.parametrize("prefix", [None, 3, b"net", "", "2d", "a-b", "ä", "int x;", "a\n", ["a"]])
def test_what_names_in_c_do_not_begin_with(prefix, integer, tmp_path):
    with pytest.raises(ArgumentError, match=r"prefix=.* is not allowed: give letters"):
        integer.to_c(tmp_path, prefix)
    assert not list(tmp_path.iterdir())


@needs_gcc
@pytest.mark.parametrize("prefix", ["int", "uint8", "memory", "add_row", "class"])
def test_words_of_c_are_no_names_once_something_follows(prefix, integer, tmp_path):
    integer.to_c(tmp_path, prefix)
    strict = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsyntax-only"]
    subprocess.run(["gcc", *strict, "main.c", "network.c"], cwd=tmp_path, check=True)


FRAMES = {
    "none": None,
    "list": [1],
    "array": np.zeros((4, 3, 2, 8, 8)),
    "shape": torch.zeros(4, 3, 2, 8, 7),
    "a sample": torch.zeros(2, 8, 8),
    "scalar": torch.tensor(1.0),
    "nan": torch.full((4, 3, 2, 8, 8), torch.nan),
    "infinite": torch.full((4, 3, 2, 8, 8), torch.inf),
    "negative": torch.full((4, 3, 2, 8, 8), -1),
    "large": torch.full((4, 3, 2, 8, 8), 2**40),
    "complex": torch.zeros(4, 3, 2, 8, 8, dtype=torch.complex64),
    "sparse": torch.zeros(4, 3, 2, 8, 8).to_sparse(),
    "meta": torch.zeros(4, 3, 2, 8, 8, device="meta"),
}


@needs_compiler
@pytest.mark.parametrize("frames", FRAMES.values(), ids=FRAMES)
def test_what_are_no_frames(frames, integer, compiled):
    runs = [integer, compiled]
    if frames is not None:
        runs.append(lambda x: integer.compile(1, x))
    for run in runs:
        with pytest.raises(ArgumentError, match=r"frames(\.\w+)?=.* is not allowed: give"):
            run(frames)


@pytest.mark.parametrize("kind", ["none", "list", "nan", "complex", "sparse", "meta"])
def test_what_is_not_quantized(kind, integer):
    with pytest.raises(ArgumentError, match=r"frames(\.\w+)?=.* is not allowed: give"):
        integer.quantize(FRAMES[kind])


@needs_compiler
@pytest.mark.parametrize("threads", [0, -1, 257, 1.0, True, "1", [1], torch.tensor(1)], ids=repr)
def test_what_is_no_number_of_threads(threads, integer):
    with pytest.raises(ArgumentError, match=r"threads=.* is not allowed: give an integer from 1"):
        integer.compile(threads)


@needs_compiler
def test_what_is_no_state(integer, compiled):
    name, shape = next((n.name, n.shape) for n in integer.nodes if n.name in integer.neurons)
    right = torch.zeros(3, *shape, dtype=torch.uint8)
    states = {
        "state=": [3, "state", [right], {"nobody": right}, {3: right}],
        "state\\['": [
            {name: value}
            for value in (None, 3, [0], right.float(), right + 200, right.int() - 1, right[:2],
                          right[0], right.transpose(1, 3)[:, :7], right.flatten(),
                          right.to(torch.complex64))
        ],
    }  # fmt: skip
    for run in (integer, compiled):
        for begin, given in states.items():
            for state in given:
                with pytest.raises(ArgumentError, match=rf"^{begin}.* is not allowed: give"):
                    run(counts(), state)
        run(counts(), {name: right})
        run(counts(), {name: right.flatten(1).long()})
    with pytest.raises(ArgumentError, match="spikes='no' is not allowed"):
        compiled(counts(), spikes="no")


def test_baked_is_a_truth_value():
    from spikingjelly.activation_based import neuron

    network = nn.Sequential(nn.Linear(2, 2), neuron.LIFNode())
    inject(network, "imsnn")
    for baked in ("x", 1, None):
        with pytest.raises(ArgumentError, match=r"baked=.* is not allowed: give True or False"):
            eject(network, baked)
    eject(network, True)
