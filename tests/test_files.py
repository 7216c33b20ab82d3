"""Files and folders that are whole or not there."""

import ast
import os
from pathlib import Path

import pytest

import qsnn_plugins
from qsnn_plugins.files import atomic_write, path_beside, replace


def names(folder):
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize(
    ("mode", "content", "raw"), [("wb", b"\xe9\r\n", b"\xe9\r\n"), ("w", "é\n", b"\xc3\xa9\n")]
)
def test_a_file_takes_the_place_of_the_old_one(tmp_path, mode, content, raw):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path, mode) as file:
        file.write(content)
        file.flush()
        assert path.read_text() == "old"
    assert path.read_bytes() == raw
    assert names(tmp_path) == ["a.txt"]


def test_the_old_file_stays_where_the_block_fails(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with atomic_write(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
    before = {path: path.lstat().st_mode for path in tmp_path.iterdir()}
    for path in before:
        with pytest.raises(FileExistsError, match="not a regular file"), atomic_write(path):
            pass
    assert {path: path.lstat().st_mode for path in tmp_path.iterdir()} == before


def test_permissions_are_kept_and_write_protection_too(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o660)
    with atomic_write(path, "w") as file:
        file.write("new")
    assert path.stat().st_mode & 0o777 == 0o660
    path.chmod(0o440)
    with pytest.raises(PermissionError, match="write-protected"), atomic_write(path, "w") as file:
        file.write("newer")
    assert path.read_text() == "new"


def test_modes_are_those_of_the_old_file_from_the_first_byte_on(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o600)
    with atomic_write(path, "w"):
        assert [each.stat().st_mode & 0o777 for each in tmp_path.iterdir()] == [0o600, 0o600]
    new = tmp_path / "b.txt"
    new.write_text("old")
    monkeypatch.setattr(Path, "chmod", None)  # as on file systems without modes
    with atomic_write(new, "w") as file:
        file.write("new")


def test_two_writers_leave_one_whole_file(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path, "w") as first, atomic_write(path, "w") as second:
        first.write("first")
        second.write("second")
    assert path.read_text() == "first"
    assert names(tmp_path) == ["a.txt"]


def test_content_and_folder_are_on_the_disk_before_and_after_the_rename(tmp_path, monkeypatch):
    events = []
    fsync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (events.append("fsync"), fsync(number)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("replace"), rename(a, b)))
    with atomic_write(tmp_path / "a.txt") as file:
        file.write(b"x")
    assert events == ["fsync", "replace", "fsync"]


def test_a_folder_is_renamed_whole_and_what_is_left_is_removed(tmp_path):
    with path_beside(tmp_path / "data") as temporary:
        (temporary / "inside").mkdir(parents=True)
        (temporary / "inside" / "1.bin").touch()
        (temporary / "left").touch()
        replace(temporary / "inside", tmp_path / "data")
    assert names(tmp_path) == ["data"]
    assert names(tmp_path / "data") == ["1.bin"]


OF_BYTES = ("os", "Image", "gzip", "tarfile")


def without_encoding(source):
    """Lines of a source that read or write text as the locale has it."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        options = {word.arg: ast.unparse(word.value) for word in call.keywords}
        arguments = [ast.unparse(argument) for argument in call.args]
        is_bytes = any("b" in a for a in (*arguments, options.get("mode", "")) if a[:1] in "'\"")
        reads = name == "read_text" and not arguments
        opens = name == "open" and ast.unparse(call.func).partition(".")[0] not in OF_BYTES
        writes = name == "write_text" and len(arguments) < 2
        runs = "text" in options or "universal_newlines" in options
        is_text = reads or writes or runs or (opens and not is_bytes)
        if is_text and "encoding" not in options and None not in options:
            yield call.lineno


def test_text_is_utf_8_whatever_the_locale():
    root = Path(qsnn_plugins.__file__).parent
    found = {path: [*without_encoding(path.read_text("utf-8"))] for path in root.rglob("*.py")}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ("path.read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.open(newline='')", True),
        ("open(path, 'rb')", False),
        ("path.open('w', encoding='utf-8')", False),
        ("subprocess.run(words, text=True)", True),
    ],
)
def test_text_of_the_locale_would_be_found(source, is_found):
    assert bool([*without_encoding(source)]) is is_found
