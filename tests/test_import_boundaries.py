"""Who imports whom: the layers of the package, and where a host may be imported at all."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import qsnn_plugins

ROOT = Path(qsnn_plugins.__file__).parent

# Lower never imports higher; what shares a line may not import each other either.
LAYERS = [
    {"errors", "command_owners", "lazy"},
    {"debug", "extras", "files", "progress", "stopping", "torchvision_ops"},
    {"functional"},
    {"spec"},
    {"nn"},
    {"presets", "ops"},
    {"injection", "saving"},
    {"__init__"},
    {"spikingjelly", "snntorch"},
    {"models", "data"},
    {"cost"},
    {"lightning", "plot", "export"},
    {"reproduce"},
    {"doctor"},
    {"cli"},
    {"__main__"},
]
HEIGHT = {part: height for height, layer in enumerate(LAYERS) for part in layer}

# Heavy packages, and the only parts of ours that may import them, at any depth of a function.
HOMES = {
    "spikingjelly": {"spikingjelly"},
    "snntorch": {"snntorch"},
    "lightning": {"lightning", "data", "cli"},
    "jsonargparse": {"cli"},
    "torchmetrics": {"lightning"},
    "pycocotools": {"lightning"},
    "cupy": {"ops"},
    "sklearn": {"data"},
    "torchvision": {"data"},
    "PIL": {"data", "lightning"},
    "matplotlib": {"plot"},
}
HEAVY = (
    "spikingjelly",
    "snntorch",
    "lightning",
    "torchmetrics",
    "cupy",
    "torchvision",
    "tonic",
    "matplotlib",
)


def imported(source):
    """Names of the modules that a source imports, those inside functions included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "qsnn_plugins":
                yield from (f"qsnn_plugins.{alias.name}" for alias in node.names)
            else:
                yield node.module


def transgressions(root):
    """Each import below `root` that goes upwards, or reaches for a host outside its home."""
    for path in sorted(root.rglob("*.py")):
        part = path.relative_to(root).parts[0].removesuffix(".py")
        for name in imported(path.read_text()):
            top, _, rest = name.partition(".")
            target = rest.partition(".")[0]
            target = qsnn_plugins._MODULES.get(target, target)
            if top == "qsnn_plugins" and target in HEIGHT and target != part:
                if HEIGHT[target] >= HEIGHT[part]:
                    yield f"{path.relative_to(root)} imports {name}, which is not below it"
            elif top in HOMES and part not in HOMES[top]:
                yield f"{path.relative_to(root)} imports {name}, whose home is {HOMES[top]}"


def heavy_after(statement):
    """The heavy packages that a fresh interpreter holds after a statement."""
    code = f"import sys\n{statement}\nprint(*(m for m in {HEAVY} if m in sys.modules))"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.split()


CORE = ["functional", "spec", "presets", "nn", "ops", "errors", "torchvision_ops"]


@pytest.mark.parametrize("modules", [[""], CORE, ["data"], ["cli"], ["plot"]], ids=str)
def test_the_core_imports_no_host(modules):
    names = (f"qsnn_plugins.{module}".removesuffix(".") for module in modules)
    assert heavy_after(f"import {', '.join(names)}") == []


def test_the_package_itself_imports_nothing_but_the_standard_library():
    code = """
import sys
before = set(sys.modules)
import qsnn_plugins
print(*{name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout.split() == ["qsnn_plugins"], process.stderr


def test_names_at_the_top_import_no_host():
    assert heavy_after(f"from qsnn_plugins import {', '.join(qsnn_plugins.__all__)}") == []


def test_names_at_the_top_are_what_they_say():
    assert set(qsnn_plugins.__all__) <= set(dir(qsnn_plugins))
    for name in qsnn_plugins.__all__:
        assert getattr(qsnn_plugins, name).__name__.rpartition(".")[2] == name
    assert callable(qsnn_plugins.inject), "no module of this name hides the function"


def test_a_host_would_be_noticed(tmp_path):
    (tmp_path / "tonic.py").touch()
    (tmp_path / "careless.py").write_text("import tonic\n")
    statement = f"sys.path.insert(0, {str(tmp_path)!r})\nimport careless"
    assert heavy_after(statement) == ["tonic"]


def test_every_part_has_its_layer():
    parts = {path.name.removesuffix(".py") for path in ROOT.iterdir()}
    unknown = parts - set(HEIGHT) - {"__pycache__", "py.typed", "recipes"}
    assert not unknown, f"give {unknown} a line in LAYERS"


def test_imports_go_downwards_and_hosts_stay_at_home():
    assert list(transgressions(ROOT)) == []


@pytest.mark.parametrize(
    ("file", "source", "told"),
    [
        ("functional/loss.py", "from qsnn_plugins.nn import Loss", "not below it"),
        ("nn/__init__.py", "def f():\n    import qsnn_plugins.cli", "not below it"),
        ("spec/membrane.py", "from qsnn_plugins import lightning", "not below it"),
        ("nn/weight.py", "from qsnn_plugins import inject", "not below it"),
        ("spikingjelly/neuron.py", "from qsnn_plugins.snntorch import x", "not below it"),
        ("nn/weight.py", "import spikingjelly.activation_based", "whose home is"),
        ("snntorch/leaky.py", "from spikingjelly import x", "whose home is"),
        ("cost/memory.py", "def f():\n    from lightning import Trainer", "whose home is"),
    ],
)
def test_each_transgression_would_be_noticed(file, source, told, tmp_path):
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(source)
    (found,) = transgressions(tmp_path)
    assert found.startswith(file)
    assert told in found


def test_what_is_allowed_is_not_noticed(tmp_path):
    (tmp_path / "spikingjelly").mkdir()
    (tmp_path / "spikingjelly" / "neuron.py").write_text(
        "from spikingjelly.activation_based import neuron\n"
        "from qsnn_plugins.functional import lif\n"
        "from qsnn_plugins.spikingjelly import surrogate\n"
    )
    assert list(transgressions(tmp_path)) == []
