"""No two files of the package import each other in a circle, imports within functions included."""

import ast
from pathlib import Path

import pytest

import qsnn_plugins

ROOT = Path(qsnn_plugins.__file__).parent


def module_name(path, root):
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(tree, known):
    """The package's own modules that a file imports; what only a type checker reads is left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module
        yield from imported_modules(node, known)


def circles(root):
    """Each circle of imports below a package's folder, as the names on the way round."""
    files = {module_name(path, root): path for path in sorted(root.rglob("*.py"))}
    graph = {
        name: sorted({*imported_modules(ast.parse(path.read_text()), files)})
        for name, path in files.items()
    }
    found, done = [], set()

    def visit(name, way):
        if name in way:
            found.append([*way[way.index(name) :], name])
        elif name not in done:
            for other in graph[name]:
                visit(other, [*way, name])
            done.add(name)

    for name in graph:
        visit(name, [])
    return found


def test_there_is_no_circle():
    assert circles(ROOT) == []


@pytest.mark.parametrize(
    "files",
    [
        {"a": "from package import b", "b": "import package.a"},
        {
            "a": "from package.b import x",
            "b": "def f():\n    from package.c import y",
            "c": "from package.a import z",
        },
        {"__init__": "from package.a import x", "a": "from package import x"},
    ],
)
def test_a_circle_would_be_found(files, tmp_path):
    for name, source in {"__init__": "", **files}.items():
        path = tmp_path / "package" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    (circle,) = circles(tmp_path / "package")
    assert circle[0] == circle[-1]
    assert len(set(circle)) == len(files)


def test_what_is_no_circle_is_not_found(tmp_path):
    (tmp_path / "package").mkdir()
    sources = {
        "__init__": "",
        "a": "from package.b import x\nfrom package import c",
        "b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from package import a",
        "c": "import package.b\nimport os",
    }
    for name, source in sources.items():
        (tmp_path / "package" / f"{name}.py").write_text(source)
    assert circles(tmp_path / "package") == []
