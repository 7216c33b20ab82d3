"""`qsnn reproduce` as a user has it; docs/reproduction is what it writes."""

import json
from pathlib import Path

import pytest

from qsnn_plugins.reproduce import PAPERS, load_results
from qsnn_plugins.reproduce.command import main
from qsnn_plugins.reproduce.markdown import paper_page, totals_page

DOCS = Path(__file__).parents[2] / "docs"
KEYS = ["paper", "table", "row", "column", "printed", "computed", "measured", "unit"]
KEYS += ["rule", "verdict", "reason"]


@pytest.mark.parametrize("paper", PAPERS)
def test_a_page_is_fresh(paper, now):
    page = (DOCS / "reproduction" / f"{paper}.md").read_text("utf-8")
    assert page == paper_page(paper, now[paper]), "run `qsnn reproduce --write`"


def test_the_totals_are_fresh(now):
    page = (DOCS / "reproduction" / "README.md").read_text("utf-8")
    assert page == totals_page(now.of_all(), load_results(DOCS / "results")), (
        "run `qsnn reproduce --write`"
    )


def test_json(capsys):
    assert main(["sigmoid_quantizer", "--table", "III", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 41
    assert all(list(cell) == KEYS for cell in found)
    cell = next(c for c in found if c["row"] == "CIFAR10-DVS, this work, 32-bit")
    assert (cell["printed"], cell["verdict"], cell["reason"]) == ("6.46", "agrees", None)
    assert cell["computed"] == pytest.approx((1_691_904 + 1_280) * 4 / 2**20)


def test_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["imsnn", "--table", "VII"]) == 0
    text = capsys.readouterr().out
    assert "103.46 = 103.4634" in text
    assert "cells need a measurement" in text
    assert "Table VI:" not in text
    assert "Each cell begins with the printed value" in text
    assert "weights (MB), computed" in text
    assert "mAP (1), measured" in text
    assert "3.76 MB are 15.04 M membranes of 2 bits" in text
    assert "What we measured, on what" not in text


def test_the_terminal_ends_with_what_was_measured(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.chdir(DOCS.parent)
    assert main(["qsnn"]) == 0
    cells, runs = capsys.readouterr().out.split("What we measured, on what")
    assert "99.72" not in cells
    assert "EventDigits" in runs
    assert "99.72" in runs
    assert "NMNIST" not in runs  # another paper's


def test_a_table_of_every_paper_that_has_it(capsys):
    assert main(["--table", "III", "--markdown"]) == 0
    text = capsys.readouterr().out
    assert text.count("## Table III:") == 2
    assert "Q-SNN" not in text


def test_a_table_without_a_known_cell_says_so(capsys):
    assert main(["spquant", "--table", "10", "--markdown"]) == 0
    assert "no cell of it stands in the text" in capsys.readouterr().out
    assert main(["spquant", "--table", "5", "--markdown"]) == 0
    assert "Table 10" not in capsys.readouterr().out


def test_write(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["qsnn", "--write"]) == 2
    assert capsys.readouterr().err == (  # before anything is computed
        "error: folder='docs' is not allowed: give an existing one: run this in a checkout\n"
    )
    (tmp_path / "docs").mkdir()
    assert main(["qsnn", "--write"]) == 0
    assert [path.name for path in (tmp_path / "docs/reproduction").iterdir()] == ["qsnn.md"]


def test_the_comparisons_are_written_into_the_page_of_results(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "docs/results/README.md"
    page.parent.mkdir(parents=True)
    page.write_text("a page without marks")
    assert main(["comparison", "--write"]) == 2
    assert "error: the page has no marks" in capsys.readouterr().err
    text = (DOCS / "results/README.md").read_text("utf-8")
    page.write_text(text)
    assert main(["comparison", "--write"]) == 0
    assert page.read_text("utf-8") != text  # there are no results here
    assert not list((tmp_path / "docs/reproduction").iterdir())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["qsn"], "paper='qsn' is not allowed: give one of imsnn, spquant, qsnn, "),
        (
            ["qsnn", "--table", "VI"],
            "--table='VI' is not allowed: give one that is there: qsnn has",
        ),
        (["qsnn", "--table", ""], "--table='' is not allowed: give one that is there: qsnn has"),
        (["qsnn", "--results", "no"], "--results='no' is not allowed: give an existing folder"),
        (["--table", "99"], "--table='99' is not allowed: give one that is there: imsnn has I, II"),
        (["qsnn", "--markdow"], "qsnn reproduce: unrecognized arguments: --markdow"),
        (["--json", "--markdown"], "qsnn reproduce: argument --markdown: not allowed with"),
        (["qsnn", "--write", "--table", "1"], "--table='1' is not allowed: give none with --write"),
    ],
)
def test_bad_input_ends_with_one_sentence(words, sentence, capsys):
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith(f"error: {sentence}")


def test_a_broken_result_ends_with_one_sentence(tmp_path, capsys):
    (tmp_path / "broken.json").write_text("{")
    assert main(["qsnn", "--results", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / 'broken.json'}: ")
