import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qsnn_plugins.ops import compiler
from qsnn_plugins.ops.compiler import FLAGS, BuildError, build
from tests.toolchain import needs_compiler


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("QSNN_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "some_operator" / "kernel.cpp"
    path.parent.mkdir()
    path.write_text('extern "C" int answer() { return 42; }\n')
    return path


@needs_compiler
def test_what_was_built_is_used_again_and_a_change_is_built_anew(source, monkeypatch):
    library = build(source)
    assert library.parent == compiler.cache_folder()
    assert library.name.startswith("some_operator-")
    with monkeypatch.context() as patch:
        patch.setattr(compiler, "_run", lambda command: pytest.fail("compiled again"))
        assert build(source) == library
    assert build(source, (*FLAGS, "-O1")) != library
    source.write_text('extern "C" int answer() { return 43; }\n')
    assert build(source) != library
    assert len(list(library.parent.iterdir())) == 3


@needs_compiler
def test_a_source_that_does_not_compile_is_told_and_leaves_nothing(source):
    source.write_text("int answer( {")
    with pytest.raises(BuildError, match=r"failed with status 1: .*error"):
        build(source)
    assert list(compiler.cache_folder().iterdir()) == []


def test_a_missing_compiler_is_named(source, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(BuildError, match="there is no compiler no-such-compiler"):
        build(source)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no program", "compiler cannot be run: Exec format error"),
        (
            '#!/bin/sh\n[ "$1" = --version ] || { echo "in f():\nout of memory" >&2; exit 1; }\n',
            "compiler failed with status 1: out of memory$",
        ),
    ],
    ids=["no program", "no line with an error"],
)
def test_what_keeps_a_compiler_from_compiling_is_told(text, said, source, tmp_path, monkeypatch):
    program = tmp_path / "compiler"
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("CXX", str(program))
    with pytest.raises(BuildError, match=said):
        build(source)


@needs_compiler
def test_a_cache_that_cannot_be_written_is_named(source, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("QSNN_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(BuildError, match=r"cache .*file cannot be written"):
        build(source)


@needs_compiler
@pytest.mark.parametrize("damage", ["cut", "emptied", "flipped"])
def test_a_damaged_library_is_built_anew(source, damage):
    library = build(source)
    whole = library.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    library.write_bytes({"cut": whole[:middle], "emptied": b"", "flipped": flipped}[damage])
    anew = build(source)
    assert ctypes.CDLL(str(anew)).answer() == 42
    assert list(anew.parent.iterdir()) == [anew]


@needs_compiler
def test_what_killed_builds_left_is_removed_when_it_is_old(source):
    folder = compiler.cache_folder()
    folder.mkdir()
    old, young = (folder / f".some_operator-0.{digit * 32}.tmp" for digit in "01")
    for path, age in ((old, 7200), (young, 60)):
        path.touch()
        os.utime(path, (time.time() - age,) * 2)
    library = build(source)
    assert sorted(folder.iterdir()) == sorted([young, library])


def _ends(process: Path, timeout: float = 30) -> bool:
    """Whether a killed process, by its /proc/PID/stat, goes (or waits for its parent to notice)."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if process.read_text().split()[2] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_a_compiler_that_hangs_is_named(source, tmp_path, monkeypatch):
    hanging = tmp_path / "hanging"
    hanging.write_text("#!/bin/sh\nsleep 60 & echo $! > child; wait\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("CXX", str(hanging))
    monkeypatch.setattr(compiler, "TIMEOUT", 2)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BuildError, match=r"hanging took longer than 2 s"):
        build(source)
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    assert _ends(child)


@needs_compiler
def test_a_compiler_may_have_words(source, tmp_path, monkeypatch):
    plain = build(source)
    wrapper = tmp_path / "wrap per"
    wrapper.write_text('#!/bin/sh\n[ "$1" = g++ ] && shift\nexec g++ "$@"\n')
    wrapper.chmod(0o755)
    for words in (f"'{wrapper}' g++", str(wrapper)):
        monkeypatch.setenv("CXX", words)
        assert ctypes.CDLL(str(build(source))).answer() == 42
    monkeypatch.setenv("CXX", "")  # as if it were not set
    assert build(source) == plain
    monkeypatch.setenv("CXX", "no-such-wrapper g++")
    with pytest.raises(BuildError, match=r"there is no compiler no-such-wrapper$"):
        build(source)


def test_a_home_folder_in_the_cache_s_name_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("QSNN_CACHE_DIR", "~/kernels")
    assert compiler.cache_folder() == tmp_path / "kernels"


@needs_compiler
def test_what_is_renamed_is_on_the_disk(source, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda file: calls.append("sync"))
    monkeypatch.setattr(compiler, "replace", lambda *paths: calls.append("rename"))
    build(source)
    assert calls == ["sync", "rename"]


@needs_compiler
def test_processes_that_build_at_once_do_not_meet(source):
    code = (
        "import ctypes, sys; from pathlib import Path; from qsnn_plugins.ops.compiler import build;"
        "print(ctypes.CDLL(str(build(Path(sys.argv[1])))).answer())"
    )
    command = [sys.executable, "-c", code, str(source)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0] for process in running] == ["42\n"] * 3
    (library,) = compiler.cache_folder().iterdir()
    assert library.suffix == ".so"
