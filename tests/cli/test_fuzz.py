"""Mutated recipes and results: each is used, or refused in one sentence."""

import contextlib
import copy
import io
import json
import logging
import random
import shutil
import sys
import traceback
import warnings
from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from qsnn_plugins import cli
from qsnn_plugins.cli.chosen_results import choose_results
from qsnn_plugins.cli.failures import tool_status
from tests.cli.plotting import RESULT
from tests.cli.test_doors import RECIPE as CLASSIFIER

COUNT = 100
COMMAND = {"class_path": "os.system", "init_args": {"command": "touch sprung"}}
PROCESS = {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "sprung"]}}
# nothing that asks for more memory or time than there is
VALUES = [
    *(None, True, False, -1, 0, 1, 3, 0.5, float("nan"), float("-inf"), 1e-40),
    *("", "foo", "last", "1e-3", "é\x7f", "*", "{", "a.b.c", ".", "os.system", "../good.yaml"),
    *([], {}, [1, [None]], {"a": 1}, {"class_path": "torch.nn.ReLU"}, {"kind": "float"}),
    *(COMMAND, PROCESS, [COMMAND], {"class_path": 3}, {"preset": "qsnn", "weight_bits": 2}),
]


def places(node, path=()):
    """The path of every value below a node."""
    items = enumerate(node) if isinstance(node, list) else getattr(node, "items", list)()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def mutated(content, draw):
    """Content with one value, or key, that is another or gone."""
    content = copy.deepcopy(content)
    *above, key = draw.choice([*places(content)])
    node = content
    for part in above:
        node = node[part]
    match draw.randrange(5) if isinstance(node, dict) else 0:
        case 0 | 1:
            node[key] = copy.deepcopy(draw.choice(VALUES))
        case 2:
            del node[key]
        case 3:
            at = draw.randrange(len(key))
            node[key[:at] + key[at + 1 :]] = node.pop(key)
        case 4:
            node[draw.choice(["spec", "class_path", "kind", "base", "zzz"])] = draw.choice(VALUES)
    return content


def damaged(raw, draw):
    """Bytes with a flipped bit, a hole, others among them, an end, a line twice or recoded."""
    at = draw.randrange(len(raw))
    to = min(at + draw.randrange(1, 20), len(raw))
    match draw.randrange(6):
        case 0:
            return raw[:at] + bytes([raw[at] ^ 1 << draw.randrange(8)]) + raw[at + 1 :]
        case 1:
            return raw[:at] + raw[to:]
        case 2:
            return raw[:at] + draw.randbytes(draw.randrange(1, 8)) + raw[at:]
        case 3:
            return raw[:at]
        case 4:
            return raw[:at] + raw[at:to] * draw.choice([2, 500]) + raw[to:]
    return (raw.decode() + "# größer").encode(draw.choice(["utf-16", "utf-16-be", "latin-1"]))


def mutants(raw, load, dump, seed):
    """As many mutants of a file's bytes, every other one of its content."""
    draw, content = random.Random(seed), load(raw)
    for number in range(COUNT):
        yield damaged(raw, draw) if number % 2 else dump(mutated(content, draw)).encode()


def answer(act):
    """What is wrong with how a command ends: a traceback of ours, or no sentence."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = act()
    except SystemExit as stop:
        status = stop.code
    except Exception as error:  # the fault that is looked for, unless the recipe's code raised it
        frames = traceback.extract_tb(error.__traceback__)
        is_own = any(Path(frame.filename).name == "tiny.py" for frame in frames)
        return None if is_own else "".join(traceback.format_exception(error)[-6:])
    said = [line for line in err.getvalue().splitlines() if line.startswith("error: ")]
    return None if status == 0 or len(said) == 1 else f"status {status}: {err.getvalue()[-300:]}"


def report(failures):
    assert not failures, "\n\n".join(f"{raw!r}\n{what}" for raw, what in failures[:5])


@pytest.mark.slow
@pytest.mark.parametrize("command", ["fit", "cost"])
def test_recipes(command, folder, here, monkeypatch):
    """A model of a user's own is trained for one batch, one of ours is counted."""
    monkeypatch.setenv("RICH_FORCE_TERMINAL", "0")
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    options = {
        "fit": ["--trainer.fast_dev_run=1", "--trainer.enable_progress_bar=false"],
        "cost": ["--json", "--full_precision"],
    }
    words = [command, "-c", "fuzz.yaml", *options[command]]
    text = (folder / "good.yaml").read_text() if command == "fit" else CLASSIFIER
    failures = []
    for raw in mutants(text.encode(), yaml.safe_load, yaml.safe_dump, 1):
        Path("fuzz.yaml").write_bytes(raw)
        monkeypatch.setattr(sys, "argv", ["qsnn", *words])
        if what := answer(cli.qsnn):
            failures.append((raw, what))
    logging.disable(logging.NOTSET)
    report(failures)
    assert not Path("sprung").exists()


@pytest.mark.slow
def test_results(tmp_path, monkeypatch):
    """`qsnn recipes`, `qsnn reproduce` and `qsnn plot` read them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs/results").mkdir(parents=True)
    (tmp_path / "docs/results/runs.csv").touch()
    shutil.copytree(Path(__file__).parents[2] / "recipes", tmp_path / "recipes")
    wide = ["-c", "recipes/overlays/membranes_8bit.yaml", *RESULT["overrides"]]
    eight = RESULT | {"row": RESULT["row"].replace("2u", "8u"), "overrides": wide}
    raw = json.dumps([RESULT, RESULT | {"seed": 2}, eight]).encode()
    plot = Namespace(convention=None)
    own = Namespace(results=[], config=[], label=None, rows=None)
    commands = [
        lambda: tool_status(lambda: choose_results("tradeoff", plot, [own]), []),
        *(
            lambda words=words: monkeypatch.setattr(sys, "argv", ["qsnn", *words]) or cli.qsnn()
            for words in (["recipes"], ["reproduce", "qsnn", "--table=1", "--json"])
        ),
    ]
    failures = []
    for mutant in mutants(raw, json.loads, json.dumps, 2):
        Path("docs/results/some.json").write_bytes(mutant)
        failures += [(mutant, what) for command in commands if (what := answer(command))]
    report(failures)
