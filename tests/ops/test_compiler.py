import os
import shutil
import subprocess
import sys

import pytest

from qsnn_plugins.ops import compiler
from qsnn_plugins.ops.compiler import FLAGS, BuildError, build

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler"
)


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


@needs_compiler
def test_a_cache_that_cannot_be_written_is_named(source, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("QSNN_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(BuildError, match=r"cache .*file cannot be written"):
        build(source)


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
