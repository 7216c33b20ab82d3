"""A recipe from elsewhere builds what its arguments ask for, and does nothing else."""

import sys
from pathlib import Path

import pytest

from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.cli.inputs import load_yaml
from tests.cli.test_errors import only_error

RECIPE = """
trainer: {accelerator: cpu, max_epochs: 1}
model:
  class_path: SpikingClassifier
  init_args:
    network:
      class_path: StringNet
      init_args: {layers: 4C3-GAP-FC10, spec: imsnn}
    loss: {class_path: TETLoss, init_args: {lamb: 0.05}}
    optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1}}
data:
  class_path: EventDigits
  init_args: {time_steps: 4, size: 16}
"""
# everything that runs a command, as a function and as a class
CALL = "{class_path: os.system, init_args: {command: touch sprung}}"
HIDDEN = "{class_path: os.path.os.system, init_args: {command: touch sprung}}"
START = "{class_path: subprocess.Popen, init_args: {args: [touch, sprung]}}"
NETWORK = "{layers: 4C3-GAP-FC10, spec: imsnn}"
SGD = "{class_path: torch.optim.SGD, init_args: {lr: 0.1}}"
LOSS = "{class_path: TETLoss, init_args: {lamb: 0.05}}"
MODEL, DATA = RECIPE[RECIPE.index("model:") :].split("data:")
IN_MODEL = "bad.yaml: model.init_args"
REPORT = "{class_path: NetworkReport, init_args: {closing: os.system}}"
UNTYPED = "{class_path: mine.Untyped, init_args: {inner: %s}}"

DOORS = [
    (SGD, CALL, f"{IN_MODEL}.optimizer.class_path: os.system is not an Optimizer"),
    (SGD, HIDDEN, f"{IN_MODEL}.optimizer.class_path: os.path.os.system is not an Optimizer"),
    (SGD, START, f"{IN_MODEL}.optimizer.class_path: subprocess.Popen is not an Optimizer"),
    (SGD, "os.system", f"{IN_MODEL}.optimizer: os.system is not an Optimizer"),
    (SGD, "other.yaml", f"{IN_MODEL}.optimizer: other.yaml is not an Optimizer"),
    (
        "lr: 0.1",
        f"lr: 0.1, momentum: {START}",
        f"{IN_MODEL}.optimizer.init_args.momentum: {{'class",
    ),
    (LOSS, START, f"{IN_MODEL}.loss.class_path: subprocess.Popen is not a Module"),
    (LOSS, CALL, f"{IN_MODEL}.loss.class_path: os.system is not a Module"),
    (LOSS, UNTYPED % START, f"{IN_MODEL}.loss.init_args.inner.class_path: subprocess.Popen is no"),
    (LOSS, UNTYPED % f"[{CALL}]", f"{IN_MODEL}.loss.init_args.inner.0.class_path: os.system is no"),
    (LOSS, UNTYPED % f"'{START}'", f"{IN_MODEL}.loss.init_args.inner: {{class_path: subproc"),
    (
        "spec: imsnn",
        f"spec: {{weight: {START}}}",
        f"{IN_MODEL}.network.init_args.spec.weight.class_path: weight.class_path='subprocess",
    ),
    (
        "spec: imsnn",
        f"spec: {{membrane: {{class_path: mine.Untyped, init_args: {{inner: {START}}}}}}}",
        f"{IN_MODEL}.network.init_args.spec.membrane.init_args.inner.class_path: subprocess.Popen",
    ),
    (
        MODEL[7:],
        f" {START}\n",
        "bad.yaml: model.class_path: subprocess.Popen is not a LightningModule",
    ),
    (DATA, f" {CALL}\n", "bad.yaml: data.class_path: os.system is not a LightningDataModule"),
    ("size: 16", f"size: {START}", "bad.yaml: data.init_args.size: {'class_path'"),
    *(
        (
            "accelerator: cpu",
            f"accelerator: cpu, {key}: {START}",
            f"bad.yaml: trainer.{key}.class_path: subprocess.Popen is not a {base}",
        )
        for key, base in (("logger", "Logger"), ("profiler", "Profiler"), ("strategy", "Strategy"))
    ),
    (
        "accelerator: cpu",
        f"accelerator: cpu, callbacks: [{CALL}]",
        "bad.yaml: trainer.callbacks.0.class_path: os.system is not a Callback",
    ),
    (
        "accelerator: cpu",
        f"accelerator: cpu, callbacks: [{REPORT}]",
        "bad.yaml: trainer.callbacks.0.init_args.closing: os.system is not a str",
    ),
]


@pytest.mark.parametrize(("old", "new", "sentence"), DOORS)
def test_no_recipe_runs_what_its_arguments_do_not_ask_for(old, new, sentence, here, capsys):
    assert old in RECIPE
    Path("bad.yaml").write_text(RECIPE.replace(old, new))
    Path("other.yaml").write_text(CALL)
    Path("mine.py").write_text(
        "from torch import nn\n"
        "class Untyped(nn.Module):\n"
        "    def __init__(self, inner=None): super().__init__()\n"
    )
    sys.modules.pop("mine", None)
    assert here("fit", "-c", "bad.yaml") == 2
    assert not Path("sprung").exists()
    assert only_error(capsys.readouterr().err).startswith(sentence)


def test_what_an_argument_asks_for_is_built(here):
    """A module in an argument without a type, and a callback in a list."""
    Path("mine.py").write_text(
        "from torch import nn\n"
        "class Untyped(nn.Linear):\n"
        "    def __init__(self, inner): super().__init__(4, 3); assert isinstance(inner, nn.ReLU)\n"
    )
    sys.modules.pop("mine", None)
    network = "{class_path: mine.Untyped, init_args: {inner: {class_path: torch.nn.ReLU}}}"
    words = [
        "--trainer.callbacks=[{class_path: EarlyStopping, init_args: {monitor: loss}}]",
        f"--model.network={network}",
        "--trainer.fast_dev_run=true",
    ]
    assert here("test", "-c", "good.yaml", *words) == 0


@pytest.mark.parametrize(
    ("text", "words", "sentence"),
    [
        (
            "weights_only: false",
            ["--ckpt_path=last"],
            "bad.yaml: weights_only: this is allowed only on the command line",
        ),
        (
            "weights_only: 'no'",
            [],
            "bad.yaml: weights_only: this is allowed only on the command line",
        ),
        ("weights_only: 0", [], "bad.yaml: weights_only: this is allowed only on the command line"),
        (
            "ckpt_path: given.ckpt",
            ["--weights_only=false"],
            "bad.yaml: ckpt_path: with --weights_only, name the checkpoint on the command line too",
        ),
    ],
)
def test_only_the_command_line_has_a_checkpoint_unpickled(text, words, sentence, tmp_path):
    recipe = tmp_path / "bad.yaml"
    recipe.write_text(text)
    with pytest.raises(RecipeError) as refusal:
        Composition.of(["-c", str(recipe), *words])
    assert str(refusal.value).startswith(f"{tmp_path}/{sentence}")


def test_a_run_s_own_configuration_can_be_read_again(tmp_path):
    recipe = tmp_path / "config.yaml"
    recipe.write_text("weights_only: null\nckpt_path: last")
    assert Composition.of(["-c", str(recipe)]).config["ckpt_path"] == "last"
    words = ["-c", str(recipe), "--weights_only=false", "--ckpt_path=mine.ckpt"]
    assert Composition.of(words).config["weights_only"] == "false"
    recipe.write_text("weights_only: true\nckpt_path: null")
    assert Composition.of(["-c", str(recipe)]).config["weights_only"] is True


LAUGHS = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("trainer: &t {max_epochs: 1, callbacks: [*t]}", "the alias *t refers to a value that"),
        ("&all {trainer: *all}", "the alias *all refers to a value that contains it"),
        ("trainer: &t\n  <<: *t\n", "the alias *t refers to a value that contains it"),
        (LAUGHS, "with its aliases replaced it has more than 100000 values"),
        ("[" * 5000, "it is nested too deeply"),
        ("model: {lr: 2026-99-99}", "a value is invalid (month must be in"),
        (f"model: {{lr: {'9' * 5000}}}", "a value is invalid (Exceeds the limit"),
        ("model: !!bool maybe", "a value is invalid ('maybe')"),
    ],
)
def test_yaml_that_would_not_end_is_refused(text, sentence, tmp_path):
    recipe = tmp_path / "bad.yaml"
    recipe.write_text(text)
    with pytest.raises(RecipeError) as refusal:
        Composition.of(["-c", str(recipe)])
    assert str(refusal.value).startswith(f"{recipe} cannot be read as YAML: ")
    assert sentence in str(refusal.value)


def test_aliases_that_repeat_a_value_are_read():
    read = load_yaml("a: &a {x: [1, 2]}\nb: *a\nc: {<<: *a, y: 3}")
    assert read == {"a": {"x": [1, 2]}, "b": {"x": [1, 2]}, "c": {"x": [1, 2], "y": 3}}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("model: {}".encode("utf-16"), "byte 1 is not UTF-8; save it in UTF-8"),
        ("model: {}".encode("utf-16-le"), "character 2 is not allowed in a text; save it in UTF-8"),
        ("# größer\nmodel: {}".encode("latin-1"), "byte 5 is not UTF-8; save it in UTF-8"),
    ],
)
def test_another_encoding_is_said(content, sentence, tmp_path):
    recipe = tmp_path / "bad.yaml"
    recipe.write_bytes(content)
    with pytest.raises(RecipeError) as refusal:
        Composition.of(["-c", str(recipe)])
    assert str(refusal.value) == f"{recipe} cannot be read: {sentence}"
    recipe.write_bytes("# größer\nseed_everything: 1".encode("utf-8-sig"))
    assert Composition.of(["-c", str(recipe)]).config == {"seed_everything": 1}
