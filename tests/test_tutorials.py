"""The cells of the tutorials parse and name what there is; `make docs` executes them."""

import ast
import re
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from qsnn_plugins.cli import TOOLS, TRAINING

PAGES = sorted((Path(__file__).parents[1] / "docs" / "tutorials").glob("*.md"))
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OPTION = re.compile(r"^:\w[\w-]*:.*\n", re.MULTILINE)
LINE_MAGIC = re.compile(r"^\s*%\w.*$", re.MULTILINE)


def cells(page):
    """Source of each cell, and what its first line hands it to."""
    for found in CELL.finditer(page.read_text()):
        source = OPTION.sub("", found[1])
        magic = re.match(r"\s*%%(\w+)(.*)\n", source)
        yield (magic[1], source[magic.end() :]) if magic else ("python", source)


def of_kind(page, kind):
    return [source for found, source in cells(page) if found == kind]


def test_there_are_four_with_no_other_kinds_of_cells():
    assert [page.stem for page in PAGES] == ["detection", "integers", "snntorch", "spikingjelly"]
    kinds = {kind for page in PAGES for kind, _ in cells(page)}
    assert kinds == {"python", "bash", "writefile"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_cell_parses(page):
    text = page.read_text()
    assert len(CELL.findall(text)) == text.count("```{code-cell}") > 5
    for source in of_kind(page, "python"):
        ast.parse(LINE_MAGIC.sub("", source), page.name)
    for source in of_kind(page, "writefile"):
        assert isinstance(yaml.safe_load(source), dict)
    for source in of_kind(page, "bash"):
        subprocess.run(["bash", "-n"], input=source.encode(), check=True)
        for word in re.findall(r"^qsnn (\w+)", source, re.MULTILINE):
            assert word in TRAINING | TOOLS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_cells_import_of_this_package_is_there(page):
    found = 0
    for source in of_kind(page, "python"):
        for node in ast.walk(ast.parse(LINE_MAGIC.sub("", source))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("qsnn_plugins"):
                module = import_module(node.module)
                for name in node.names:
                    assert hasattr(module, name.name) or import_module(f"{node.module}.{name.name}")
                    found += 1
    assert found > 1
