"""A recipe that cannot be used ends with one sentence; a bug ends with its traceback."""

import warnings

import pytest

from qsnn_plugins.cli.failures import tool_status
from qsnn_plugins.errors import QSNNWarning

NET = "class_path: tiny.Net"
WIDTH = "{width: 3}"

OURS = ["-c", "ours.yaml"]
OWN = [*OURS, "--model.network=tiny.SpecNet"]

BAD_RECIPES = [
    ("data:", "datum: 1\ndata:", "bad.yaml: datum is not accepted by a recipe; did you mean data?"),
    (
        "max_epochs",
        "max_epoch",
        "bad.yaml: trainer.max_epoch is not accepted by Trainer; did you mean max_epochs?",
    ),
    (
        "    network:",
        "    lrr: 1\n    network:",
        "bad.yaml: model.init_args.lrr is not accepted by TinyModel; did you mean lr?",
    ),
    (
        WIDTH,
        "{widht: 3}",
        "bad.yaml: model.init_args.network.init_args.widht is not accepted by Net; "
        "did you mean width?",
    ),
    (
        WIDTH,
        "{membrane: {bitz: 1}}",
        "bad.yaml: model.init_args.network.init_args.membrane.bitz is not accepted by Membrane; "
        "did you mean bits?",
    ),
    (
        NET,
        "class_path: tiny.Nett",
        "bad.yaml: model.init_args.network.class_path: there is no class tiny.Nett "
        "(module 'tiny' has no attribute 'Nett'); did you mean tiny.Net?",
    ),
    (
        NET,
        "class_path: tinny.Net",
        "bad.yaml: model.init_args.network.class_path: there is no class tinny.Net "
        "(No module named 'tinny')",
    ),
    (
        "tiny.TinyData",
        "EventDigitz",
        "bad.yaml: data.class_path: there is no class EventDigitz; did you mean EventDigits?",
    ),
    (
        "  max_epochs: 2",
        "  callbacks: [{class_path: ModelChekpoint}]",
        "bad.yaml: trainer.callbacks.0.class_path: there is no class ModelChekpoint; "
        "did you mean ModelCheckpoint?",
    ),
    (
        NET,
        "class_path: tiny.TinyData",
        "bad.yaml: model.init_args.network.class_path: tiny.TinyData is not a Module",
    ),
    (
        WIDTH,
        "{width: three}",
        "bad.yaml: model.init_args.network.init_args.width: three is not allowed: give int",
    ),
    (
        "max_epochs: 2",
        "max_epochs: two",
        "bad.yaml: trainer.max_epochs: two is not allowed: give int",
    ),
    (
        WIDTH,
        "{time_steps: 0}",
        "bad.yaml: model.init_args.network.init_args.time_steps: "
        "time_steps=0 is not allowed: give a positive integer",
    ),
    (
        "  class_path: tiny.TinyModel\n  init_args:",
        "  class_path: 3\n  init_args:",
        "bad.yaml: model.class_path: 3 is not allowed: give the name of a class",
    ),
    (
        "  max_epochs: 2",
        "  logger: {class_path: lightning.pytorch.loggers.Logger}",
        "bad.yaml: trainer.logger.class_path: lightning.pytorch.loggers.Logger is abstract",
    ),
    (
        WIDTH,
        "[width]",
        "bad.yaml: model.init_args.network.init_args: ['width'] is not allowed: give a mapping",
    ),
    (
        "accelerator: cpu",
        "accelerator: cpu\n  devices: 0",
        "`Trainer(devices=0)` value is not a valid input",
    ),
]


def only_error(stderr):
    """The one sentence: the last line, the only one that starts so, and no traceback above it."""
    assert "Traceback" not in stderr
    *before, last = stderr.splitlines()
    assert last.startswith("error: ")
    assert not any(line.startswith("error") for line in before)
    return last.removeprefix("error: ")


@pytest.mark.parametrize(("old", "new", "sentence"), BAD_RECIPES)
def test_bad_recipe(old, new, sentence, recipe, here, capsys):
    assert here("fit", "-c", recipe(old, new)) == 2
    assert only_error(capsys.readouterr().err).startswith(sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model: [\n", "bad.yaml cannot be read as YAML: line 2, column 1"),
        (
            "data: {size: 8, size: 9}\n",
            "bad.yaml cannot be read as YAML: line 1, column 17: the key 'size' occurs twice",
        ),
        ("just words", "bad.yaml is not a recipe"),
        ("", "bad.yaml is not a recipe"),
        ("trainer: {max_epochs: 1}", "the recipe has no data, model: give it with -c RECIPE"),
    ],
)
def test_unreadable_recipe(text, sentence, folder, here, capsys):
    (folder / "bad.yaml").write_text(text)
    assert here("fit", "-c", "bad.yaml") == 2
    assert only_error(capsys.readouterr().err).startswith(sentence)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-c", "god.yaml"], "there is no recipe god.yaml; did you mean good.yaml?"),
        (["-c", "good.yaml", "--foo", "3"], "unknown option --foo 3"),
        (
            ["-c", "good.yaml", "--trainr.max_epochs=1"],
            "unknown option --trainr.max_epochs=1; did you mean --trainer?",
        ),
        (
            ["-c", "good.yaml", "--seed_everything"],
            "--seed_everything needs a value",
        ),
        (
            ["-c", "good.yaml", "--model.lrr", "3"],
            "--model.lrr is not accepted by TinyModel; did you mean lr?",
        ),
        (
            ["-c", "good.yaml", "--trainer.max_epoch=1"],
            "--trainer.max_epoch is not accepted by Trainer; did you mean max_epochs?",
        ),
        (
            ["-c", "good.yaml", "--model.network.widt=1"],
            "--model.network.widt is not accepted by Net; did you mean width?",
        ),
        (
            ["-c", "good.yaml", "--model.network.init_args.width", "three"],
            "--model.network.init_args.width: three is not allowed: give int",
        ),
        (
            ["-c", "good.yaml", "--model.network.time_steps=0"],
            "--model.network.time_steps: time_steps=0 is not allowed: give a positive integer",
        ),
        (
            ["-c", "good.yaml", "--seed_everything=-1"],
            "--seed_everything: seed_everything=-1 is not allowed: give an integer from 0 to 4294",
        ),
        (["-c", "good.yaml", "--seed_everything=true1"], "--seed_everything: true1 is not allowed"),
        (
            ["-c", "good.yaml", "--weights_only=maybe"],
            "--weights_only: maybe is not allowed: give bool",
        ),
        (
            ["-c", "good.yaml", *OURS, "--model.network.spec.weight.class_path=tiny.Nope"],
            "--model.network.spec.weight.class_path: weight.class_path='tiny.Nope' is not allowed",
        ),
        (["-c", "good.yaml", "--trainer=3"], "--trainer: 3 is not allowed: give a mapping"),
        (
            ["-c", "good.yaml", "--data.class_path=EventDigits", "--data.size=[24]"],
            "--data.size: [24] is not allowed: give int or [int, int]",
        ),
        (["-c", "good.yaml", "--data=null"], "the recipe has no data: give it with -c RECIPE"),
        (
            ["-c", "good.yaml", "--trainer.accelerator=foo"],
            "trainer: You selected an invalid accelerator name: `accelerator='foo'`",
        ),
        (
            ["-c", "good.yaml", "--trainer.strategy=foo"],
            "trainer: You selected an invalid strategy name: `strategy='foo'`",
        ),
        (
            ["-c", "good.yaml", "--trainer.accumulate_grad_batches=0"],
            "--trainer.accumulate_grad_batches: accumulate_grad_batches=0 is not allowed: give",
        ),
        (
            ["-c", "good.yaml", "--trainer.val_check_interval=100"],
            "`val_check_interval` (100) must be less than or equal to the number of the training",
        ),
        (
            ["-c", "good.yaml", *OURS, "--trainer.callbacks+=LearningRateFinder"],
            "When using the learning rate finder, either `model` or",
        ),
        (["-c", "good.yaml", "--trainer.logger=tiny.NoLogger"], "there is no package no_logger"),
        (
            ["-c", "good.yaml", "--trainer.logger=WandbLoger"],
            "--trainer.logger: there is no class WandbLoger; did you mean WandbLogger?",
        ),
        (
            ["-c", "good.yaml", *OURS, "--model.optimizer.lr=-1"],
            "optimizer='SGD' is not allowed: give options that it takes (Invalid learning rate: -1",
        ),
        (
            ["-c", "good.yaml", *OURS, "--model.optimizer.lr=x"],
            "--model.optimizer.lr: x is not allowed: give float or Tensor",
        ),
        (
            ["-c", "good.yaml", *OURS, "--model.optimizer=Adamm"],
            "--model.optimizer: there is no class Adamm; did you mean Adam?",
        ),
        (
            ["-c", "good.yaml", *OURS, "--model.network=tiny.Net"],
            "network='Net' is not allowed: give one with out_channels, the number of its outputs",
        ),
        (
            ["-c", "good.yaml", *OURS, "--model.network.spec=imsn"],
            "--model.network.spec: preset='imsn' is not allowed: give one of imsnn, spquant, ",
        ),
        (
            ["-c", "good.yaml", *OWN, "--model.network.spec=imsn"],
            "--model.network.spec: preset='imsn' is not allowed: give one of imsnn, spquant, ",
        ),
        (
            [
                "-c",
                "good.yaml",
                *OURS,
                "--model.network=tiny.SpecNet",
                "--model.network.quant=imsnn",
            ],
            "--model.network.quant: imsnn is not allowed: give QuantSpec; presets are known where",
        ),
        (
            ["-c", "good.yaml", *OURS, "--model.network.spec.wieght.bits=2"],
            "--model.network.spec.wieght: imsnn has no option 'wieght': it has weight_bits, ",
        ),
        (
            ["-c", "good.yaml", *OURS, "--model.network.specc.weight.bits=2"],
            "--model.network.specc is not accepted by StringNet; did you mean spec?",
        ),
        (
            ["-c", "good.yaml", *OURS, "--model.loss={class_path: TETLoss, init_args: {lamb: 7}}"],
            "--model.loss.init_args.lamb: lamb=7.0 is not allowed: give a number from 0 to 1",
        ),
        (["-c", "good.yaml", "--ckpt_paht=last"], "unknown option --ckpt_paht=last"),
        (["-c", "good.yaml", "--ckpt_path", "no.ckpt"], "--ckpt_path: there is no file 'no.ckpt'"),
    ],
)
def test_bad_command_line(words, sentence, here, capsys):
    assert here("fit", *words) == 2
    assert only_error(capsys.readouterr().err).startswith(sentence)


@pytest.mark.slow
def test_as_a_command(recipe, lightning):
    process = lightning("fit", "-c", recipe(WIDTH, "{time_steps: 0}"))
    assert "time_steps=0 is not allowed" in only_error(process.stderr)
    assert process.returncode == 2


def test_our_error_while_running(here, capsys):
    assert here("fit", "-c", "good.yaml", "--model.misfortune", "data") == 1
    assert only_error(capsys.readouterr().err) == "a label is out of range"


@pytest.mark.parametrize(
    ("bug", "error"),
    [
        ("bug", KeyError("a bug")),
        ("without a word", RuntimeError("")),
        ("logged", ValueError("cannot be logged")),
    ],
)
def test_a_bug_keeps_its_traceback(here, bug, error):
    with pytest.raises(type(error), match=error.args[0]):
        here("fit", "-c", "good.yaml", "--model.misfortune", bug)


def test_a_tool_shows_warnings_of_this_package_alone(capsys):
    def act():
        warnings.warn("a library is old", UserWarning, stacklevel=1)
        warnings.warn("another scale\nis used", QSNNWarning, stacklevel=1)

    assert tool_status(act, []) == 0
    assert capsys.readouterr().err == "warning: another scale is used\n"
