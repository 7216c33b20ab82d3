"""`qsnn export` where its folder cannot be written."""

import pytest

from qsnn_plugins.cli import exporting
from tests.cli.plotting import GIVEN


def test_a_folder_that_cannot_be_made_is_one_sentence(plot, qsnn, capsys, monkeypatch):
    monkeypatch.setattr(exporting.integers, "to_integer", lambda *_: None)
    assert qsnn("export", *GIVEN, "--to", "c", "--out", "/proc/absent") == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("error: --out='/proc/absent' is not allowed: give a path that can be")


@pytest.mark.parametrize(
    ("kind", "file"), [("c", "weights.h"), ("safetensors", "small.safetensors")]
)
def test_a_protected_file_stops_before_the_comparison(
    plot, qsnn, capsys, monkeypatch, tmp_path, kind, file
):
    (tmp_path / file).touch(0o444)
    monkeypatch.setattr(exporting.integers, "to_integer", lambda *_: None)
    assert qsnn("export", *GIVEN, "--to", kind, "--out", str(tmp_path)) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.endswith("(the file is write-protected)")
