"""docs/cost.md names every convention and every constant, and shows what its Python prints."""

import re
from pathlib import Path

import yaml

from qsnn_plugins.cost import ENERGY_TABLES, MEMORY_CONVENTIONS, EnergyTable, OperationEnergy

TEXT = (Path(__file__).parents[2] / "docs" / "cost.md").read_text()


def block(language):
    return re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)[1]


def test_the_python_prints_what_is_shown(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    exec(block("python"), {})
    *lines, numbers = capsys.readouterr().out.splitlines()
    table = "\n".join(line.rstrip() for line in lines)
    assert table.startswith("One sample, T = 4. Activity: given: 0.1 for every neuron.")
    assert block("text").strip() in table
    total, macs, energy = numbers.split()
    assert f"{int(total):,}" in block("text")
    assert int(macs) > 0
    assert float(energy) > 0


def test_every_convention_has_a_row():
    rows = re.findall(r"^\| `(\w+)`.*\|$", TEXT, re.MULTILINE)
    assert set(rows) == {*MEMORY_CONVENTIONS, *ENERGY_TABLES}


def test_every_constant_is_stated():
    for name, table in ENERGY_TABLES.items():
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{name}`"))
        stated = [float(cell) for cell in row.split("|")[2:6]]
        constants = [*vars(table.int8).values(), *vars(table.float32).values()]
        assert stated == constants


def test_the_table_of_ones_own_is_one():
    values = yaml.safe_load(block("yaml"))
    rows = {key: OperationEnergy(**values.pop(key)) for key in ("int8", "float32")}
    assert EnergyTable(**values, **rows).source == "my board"
