"""`qsnn export` where its folder cannot be written."""

import pytest

from qsnn_plugins import export as integers
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


@pytest.mark.parametrize(
    ("prefix", "argument"), [("2d", "--prefix='2d'"), ("net", "--prefix='net'")]
)
def test_a_prefix_that_cannot_be_stops_before_the_network_is_built(
    plot, qsnn, capsys, monkeypatch, tmp_path, prefix, argument
):
    (tmp_path / "network.h").write_text("void qsnn_reset(void);\n")
    (tmp_path / "main.c").write_text("/* mine */ qsnn_reset();\n")
    monkeypatch.setattr(exporting.BuiltRecipe, "build", lambda *_: pytest.fail("built"))
    words = (*GIVEN, "--to", "c", "--out", str(tmp_path), "--prefix", prefix)
    assert qsnn("export", *words) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith(f"error: {argument} is not allowed: give")


def test_an_empty_variable_is_not_this_folder(plot, qsnn, capsys, monkeypatch):
    monkeypatch.setattr(exporting, "export", lambda *_: pytest.fail("exported"))
    assert qsnn("export", *GIVEN, "--to", "c", "--out", "") == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last == "error: --out='' is not allowed: give a path, as a str or a Path"


def test_names_begin_with_the_prefix(plot, qsnn, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(exporting, "_speed", lambda *_: "")
    words = ("-c", "small.yaml", *GIVEN[2:], "--model.network.spec.preset=imsnn",
             "--ckpt_changes=allow", "--out", "net")  # fmt: skip
    assert qsnn("export", *words, "--to", "c", "--prefix", "Digits") == 0
    assert "void Digits_step(" in (tmp_path / "net/network.h").read_text()
    assert qsnn("export", *words, "--to", "safetensors", "--prefix", "Digits") == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last == "error: --prefix=Digits is not allowed: give it with --to c only"


def test_what_is_written_as_one_file_is_read_as_the_command_says(
    plot, qsnn, capsys, monkeypatch, tmp_path
):
    monkeypatch.setattr(exporting, "_speed", lambda *_: "")
    words = ("-c", "small.yaml", *GIVEN[2:], "--model.network.spec.preset=imsnn",
             "--ckpt_changes=allow", "--batches", "1")  # fmt: skip
    assert qsnn("export", *words, "--to", "safetensors", "--out", "net") == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last == "wrote net/small.safetensors; qsnn_plugins.export.load reads it"
    assert str(integers.load(tmp_path / "net/small.safetensors")).startswith("layer")
