"""The files of a network in C: their names, what stays of them, and what the program refuses."""

import errno
import subprocess
from dataclasses import replace

import pytest
import torch

from qsnn_plugins import export
from qsnn_plugins.errors import ArgumentError, ExportError
from qsnn_plugins.export import IntegerNetwork
from qsnn_plugins.export.c import write
from qsnn_plugins.export.nodes import (
    Neuron,
)
from qsnn_plugins.files import atomic_write
from tests.export.c_programs import (
    STRICT,
    answers,
    as_bytes,
    build,
    constants,
    needs_gcc,
)
from tests.export.random_networks import random_frames, random_network
from tests.export.test_c import free_network

pytestmark = needs_gcc


def test_the_program_counts_steps_and_refuses_what_does_not_fit(tmp_path):
    integer = free_network(-9, 20)
    integer.to_c(tmp_path)
    subprocess.run(["make", "main"], cwd=tmp_path, check=True, capture_output=True)
    frames = random_frames(integer, 3, steps=4, samples=2)
    stream = as_bytes(integer, frames)

    def run(stream, *words):
        return subprocess.run([tmp_path / "main", *words], input=stream, capture_output=True)

    expected = integer(frames)[0].sum(0).argmax(1).tolist()
    assert run(stream, "4").stdout.split() == [str(n).encode() for n in expected]
    one = run(stream[: len(stream) // 2])
    assert (one.returncode, one.stdout.split()) == (0, [str(expected[0]).encode()])
    for broken, words, error in (
        (b"", ["4"], "no frame on standard input"),
        (b"", [], "no frame on standard input"),
        (stream[:-1], ["4"], "the input ends within frame 7: a frame has 75 values"),
        (b"\x7f" + stream[1:], ["4"], "frame 0 has the value 127: from -9 to 20 is allowed"),
        (stream, ["3"], "the input ends after 2 of the 3 steps of a sample"),
    ):
        result = run(broken, *words)
        assert (result.returncode, result.stderr.decode()) == (1, f"error: {error}\n")
    for steps in ("x", "4x", "0", "-1", ""):
        result = run(stream, steps)
        assert (result.returncode, result.stdout) == (1, b"")
        assert b"a number from 1" in result.stderr


def test_names_begin_as_the_user_wants(tmp_path):
    integer = free_network(0, 1)
    integer.to_c(tmp_path, prefix="Digits_v2")
    header = (tmp_path / "network.h").read_text()
    assert "void Digits_v2_step(const Digits_v2_input_t *frame);" in header
    assert constants(tmp_path, "DIGITS_V2")["OUTPUT_SIZE"] == 4
    build(tmp_path)
    for prefix in ("", "2d", "a-b", "int x;"):
        with pytest.raises(ArgumentError, match="prefix"):
            integer.to_c(tmp_path, prefix=prefix)


def test_two_networks_are_one_program(tmp_path):
    networks = {"a": free_network(0, 1), "b": free_network(-9, 20)}
    for prefix, integer in networks.items():
        integer.to_c(tmp_path / prefix, prefix)
    (tmp_path / "both.c").write_text(
        '#include "a/network.h"\n#include "b/network.h"\n#include <stdio.h>\n'
        "static const a_input_t one[A_INPUT_SIZE];\nstatic const b_input_t two[B_INPUT_SIZE];\n"
        "int main(void) { a_reset(); b_reset(); a_step(one); b_step(two);\n"
        'printf("%lld %lld", (long long)a_sums()[0], (long long)b_sums()[0]); return 0; }\n'
    )
    sources = "both.c", "a/network.c", "b/network.c"
    subprocess.run(["gcc", *STRICT, "-o", "both", *sources], cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "both"], capture_output=True, check=True).stdout.split()
    zero = [net(torch.zeros(1, 1, *net.input.shape).long())[0] for net in networks.values()]
    assert [int(sums) for sums in said] == [int(answer[0, 0, 0]) for answer in zero]


def test_what_a_user_changed_stays(tmp_path):
    integer = free_network(0, 1)
    (tmp_path / "main.c").write_text("mine")
    integer.to_c(tmp_path)
    assert (tmp_path / "main.c").read_text() == "mine"
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "Makefile", "main.c", "network.c", "network.h", "weights.h",
    ]  # fmt: skip


def test_a_write_that_fails_leaves_all_files_of_the_network_before(tmp_path, monkeypatch):
    free_network(0, 1).to_c(tmp_path)
    before = {each.name: each.read_text() for each in tmp_path.iterdir()}

    def full(path, mode):
        if path.name == "weights.h":
            raise OSError(errno.ENOSPC, "No space left on device")
        return atomic_write(path, mode)

    monkeypatch.setattr(write, "atomic_write", full)
    with pytest.raises(ArgumentError, match="No space left"):
        free_network(0, 255).to_c(tmp_path)
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == before


def test_another_prefix_in_the_same_folder_builds(tmp_path):
    integer, main = free_network(0, 1), tmp_path / "main.c"
    for prefix in ("qsnn", "net", "Digits_v2"):
        integer.to_c(tmp_path, prefix=prefix)
        build(tmp_path)
    main.write_text("/* mine */\n" + main.read_text())
    header = (tmp_path / "network.h").read_text()
    with pytest.raises(ArgumentError, match=r"prefix='net' .* 'Digits_v2', whose names .*main\.c"):
        integer.to_c(tmp_path, prefix="net")
    assert (tmp_path / "network.h").read_text() == header
    integer.to_c(tmp_path, prefix="Digits_v2")
    main.write_text(main.read_text().replace("Digits_v2", "net").replace("DIGITS_V2", "NET"))
    integer.to_c(tmp_path, prefix="net")
    build(tmp_path)
    assert main.read_text().startswith("/* mine */")


def test_a_saved_network_is_the_same_in_c(tmp_path):
    integer = random_network(1)
    integer.save(tmp_path / "n.safetensors")
    for name, each in (("a", integer), ("b", export.load(tmp_path / "n.safetensors"))):
        each.to_c(tmp_path / name)
    for name in ("network.c", "network.h", "weights.h"):
        assert (tmp_path / "a" / name).read_text() == (tmp_path / "b" / name).read_text()


def test_names_and_ranges_of_a_hostile_file_do_no_harm(tmp_path):
    honest = random_network(0)
    hostile = [replace(honest.nodes[0], name="*/ int x; /*??/\n\\")]
    hostile += [replace(n, name=f"*/ #error {n.name}", low=0, high=0) for n in honest.nodes[1:]]
    network = IntegerNetwork(tuple(hostile))
    frames = random_frames(honest, 0)
    network.to_c(tmp_path)
    _, sums = answers(network, frames, build(tmp_path, flags=("-O0",)))
    assert torch.equal(sums, honest(frames)[0].flatten(2).sum(0))


def test_what_c_cannot_hold_is_refused(tmp_path):
    honest = free_network(0, 1)
    neuron = next(p for p, n in enumerate(honest.nodes) if isinstance(n, Neuron))
    nodes = list(honest.nodes)
    bounds = nodes[neuron].bounds.clone()
    bounds[..., 0] = 5000
    bounds = torch.cat([bounds, bounds[..., :1] - 1], -1)
    for place, change, words in (
        (neuron, {"bounds": bounds}, "do not ascend"),
        (0, {"high": 2**33}, "beyond 32 bits"),
        (len(nodes) - 1, {"bias": honest.output.bias + 2**62}, "beyond 62 bits"),
    ):
        broken = [replace(n, **change) if p == place else n for p, n in enumerate(nodes)]
        with pytest.raises(ExportError, match=words):
            IntegerNetwork(tuple(broken)).to_c(tmp_path / "none")
    assert not (tmp_path / "none").exists()
