"""The names of the package: each is imported when it is asked for, and type checkers see them."""

import ast
from pathlib import Path

import pytest

import qsnn_plugins.data as package


def test_what_type_checkers_see_is_what_is_there():
    tree = ast.parse(Path(package.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == {name: f"{package.__name__}.{file}" for name, file in package._HOMES.items()}
    assert set(dir(package)) >= set(package.__all__) == set(seen)


def test_every_name_is_there():
    for name in package.__all__:
        assert getattr(package, name).__name__ == name


def test_another_name_is_not_there():
    with pytest.raises(AttributeError, match=r"'qsnn_plugins\.data' has no attribute 'MNIST'"):
        _ = package.MNIST
