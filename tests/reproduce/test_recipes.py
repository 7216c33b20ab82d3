"""The page of recipes: what it pools, what it says of smaller runs, and how the command ends."""

from dataclasses import replace
from pathlib import Path

import pytest

from qsnn_plugins.reproduce import Result, recipes
from qsnn_plugins.reproduce.recipes import recipes_page
from qsnn_plugins.reproduce.trained import trained_cells

ROW = "CIFAR-10, Q-SNN, ResNet19, 1w-4u"
OVERLAY = ("-c", "recipes/overlays/membranes_4bit.yaml")
RESULT = Result(
    "qsnn", "1", ROW, "accuracy", 90.0, "%", "recipes/qsnn_resnet19_cifar10.yaml", OVERLAY,
    "lightning fit ...", 42, 300, "2026-11-21", "a machine", "0123456789", "x.csv",
)  # fmt: skip


def line(page):
    (found,) = [text for text in page.splitlines() if text.startswith(f"| {ROW} |")]
    return found


def test_a_row_has_its_command_and_its_print():
    row = line(recipes_page([]))
    assert "`lightning fit -c recipes/qsnn_resnet19_cifar10.yaml -c recipes/overlays/" in row
    assert "| 95.31 % |" in row


def test_seeds_are_pooled_with_their_spread():
    runs = [replace(RESULT, value=v, seed=s) for s, v in ((1, 90.0), (2, 92.0), (3, 94.0))]
    row = line(recipes_page(runs))
    assert "92.00 % ± 2.00 (3 seeds)" in row
    assert "300 epochs, 2026-11-21, a machine, 0123456, seed 1, 2, 3, " in row
    assert "[log](../docs/results/x.csv)" in row
    assert "with `" not in row
    runs[0] = replace(runs[0], date="2026-11-20", machine="another")  # over midnight
    row = line(recipes_page(runs))
    assert "92.00 % ± 2.00 (3 seeds)" in row
    assert "2026-11-20 to 2026-11-21, another and a machine, 0123456, seed 1, 2, 3, " in row


def test_a_run_of_other_words_stands_elsewhere():
    small = replace(RESULT, overrides=(*OVERLAY, "--trainer.max_epochs=1"), value=50.0)
    assert small.changes == ("--trainer.max_epochs=1",)
    row = line(recipes_page([RESULT, small]))
    assert "90.00 % 300 epochs" in row
    assert "50.00" not in row


def test_full_size_runs_are_said_to_be_pending_until_there_is_one():
    small = replace(RESULT, overrides=(*OVERLAY, "--trainer.max_epochs=1"))
    assert "needs a GPU" in recipes_page([small])
    assert "needs a GPU" not in recipes_page([RESULT])


def test_a_quoted_row_joins_a_columns_recipe_by_its_words():
    cells = {(c.row.row, c.column.name): c for c in trained_cells(["bit_budget"]) if c.table == "5"}
    former = cells["Spikformer [42], Spikformer-4-256, 16/1/4", "cifar100"]
    assert former.recipe == "recipes/bit_budget_spikformer_cifar100.yaml"
    quoted = cells["Burst [32], ResNet-19, 16/2/1", "cifar10"]
    assert (quoted.recipe, quoted.without) == (None, "quoted from other work")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("paper", ["imsnn", "comparison"])
def test_what_a_row_begins_with_is_left_where_it_is_looked_for(paper):
    cells = [cell for cell in trained_cells([paper]) if cell.recipe]
    commands = {(cell.table, cell.row.row): cell.command.split() for cell in cells}
    begun = [cell for cell in cells if cell.start]
    assert begun
    for cell in begun:
        words = commands[cell.table, cell.start.row]
        files = [Path(word).stem for word in words if word.endswith(".yaml")]
        roots = [word.partition("=")[2] for word in words if "default_root_dir" in word]
        has_options = any(word.startswith("--") for word in cell.start.overrides)
        assert len(roots) == has_options  # alone in its folder
        folder = roots[0] if roots else f"runs/{'+'.join(files)}"
        assert f"--ckpt_path={folder}/checkpoints/last.ckpt" in cell.command.split()


def test_the_command_writes_and_checks(checkout, capsys):
    assert recipes.main(["--check"]) == 1
    assert "out of date: run qsnn recipes --write" in capsys.readouterr().err
    assert recipes.main(["--write"]) == 0
    assert recipes.main(["--check"]) == 0
    assert recipes.main([]) == 0
    assert capsys.readouterr().out == Path("recipes/README.md").read_text()
    assert [path.name for path in (checkout / "recipes").iterdir()] == ["README.md"]


def test_bad_input_is_one_sentence(checkout, capsys, tmp_path, monkeypatch):
    assert recipes.main(["--wrote"]) == 2
    (checkout / "docs/results").mkdir(parents=True)
    (checkout / "docs/results/bad.json").write_text("{}")
    assert recipes.main([]) == 1
    assert "bad.json: a result lacks" in capsys.readouterr().err
    (checkout / "recipes").rmdir()
    for word in ("--write", "--check"):
        assert recipes.main([word]) == 2
        assert f"no folder recipes here: run {word} in a checkout" in capsys.readouterr().err


def test_the_list_is_printed_in_any_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert recipes.main([]) == 0
    assert line(capsys.readouterr().out)
    assert list(tmp_path.iterdir()) == []
