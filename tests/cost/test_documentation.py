"""docs/cost.md names every way and every constant, and its Python runs."""

import re
from pathlib import Path

import yaml

from qsnn_plugins.cost import ENERGY_TABLES, MEMORY_WAYS, EnergyTable, OperationEnergy

TEXT = (Path(__file__).parents[2] / "docs" / "cost.md").read_text()


def block(language):
    return re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)[1]


def test_the_python_runs(capsys):
    exec(block("python"), {})
    total, macs, energy = capsys.readouterr().out.split()
    assert int(total) > 0
    assert int(macs) > 0
    assert float(energy) > 0


def test_every_way_has_a_row():
    rows = re.findall(r"^\| `(\w+)`.*\|$", TEXT, re.MULTILINE)
    assert set(rows) == {*MEMORY_WAYS, *ENERGY_TABLES}


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
