"""Checkpoints that are damaged, of something else, or trained otherwise: one sentence for each."""

import random
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from qsnn_plugins.cli.checkpoints import check_optimizers, read_checkpoint, unloadable
from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.lightning.schedule import build_schedule
from tests.cli.test_errors import only_error


class Unknown:
    """An object that a checkpoint may not hold."""


def good():
    return {"state_dict": {"weight": torch.arange(400.0)}, "epoch": 1}


def write(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)


def saved_bytes(tmp_path):
    torch.save(good(), tmp_path / "good.ckpt")
    return (tmp_path / "good.ckpt").read_bytes()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
UNREADABLE = [
    (b"", "some.ckpt is not a checkpoint: it is empty"),
    (POINTER, "some.ckpt is a git-lfs pointer"),
    (b"trainer:\n", "some.ckpt cannot be read"),
    (torch.zeros(3), "some.ckpt is not a checkpoint: it contains a Tensor"),
    ([1], "some.ckpt is not a checkpoint: it contains a list"),
    (good()["state_dict"], "some.ckpt is not a checkpoint: it contains only weights"),
    ({"epoch": 1}, "some.ckpt is not a checkpoint: it has no state_dict"),
    ({"state_dict": 7}, "some.ckpt is not a checkpoint: it has no state_dict"),
    ({"state_dict": {7: torch.zeros(1)}}, "some.ckpt is not a checkpoint: it has no state_dict"),
    (good() | {"more": Unknown()}, "some.ckpt contains Python objects ("),
]


@pytest.mark.parametrize(("content", "sentence"), UNREADABLE)
def test_one_reader_says_what_a_file_is(content, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "some.ckpt", content)
    with pytest.raises(RecipeError) as error:
        read_checkpoint(tmp_path.joinpath("some.ckpt").relative_to(tmp_path))
    assert str(error.value).startswith(sentence)
    # only whole files are worth an advice that trusts them
    assert ("--weights_only false" in str(error.value)) == ("Python objects" in sentence)


def test_a_folder_is_none(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
        read_checkpoint(tmp_path)


def test_the_object_is_named(tmp_path):
    write(tmp_path / "some.ckpt", good() | {"more": Unknown()})
    with pytest.raises(RecipeError, match=r"test_checkpoints\.Unknown"):
        read_checkpoint(tmp_path / "some.ckpt")


def test_no_flipped_bit_is_read(tmp_path):
    """A tensor's bytes have no structure: their checksum alone tells."""
    content, path, draw = saved_bytes(tmp_path), tmp_path / "bad.ckpt", random.Random(0)
    refused = 0
    for _ in range(60):
        flipped = bytearray(content)
        flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        try:
            read = read_checkpoint(path)
        except RecipeError as error:
            refused += "--weights_only" not in str(error)
        else:  # padding, dates
            assert torch.equal(read["state_dict"]["weight"], torch.arange(400.0))
            assert read["epoch"] == 1
            refused += 1
    assert refused == 60


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_said_to_be_so(share, tmp_path):
    content = saved_bytes(tmp_path)
    (tmp_path / "bad.ckpt").write_bytes(content[: int(share * len(content))])
    with pytest.raises(RecipeError, match="truncated or damaged"):
        read_checkpoint(tmp_path / "bad.ckpt")


def test_differences_are_told_once_for_all_layers():
    error = RuntimeError(
        "Error(s) in loading state_dict for Net:\n\t"
        "a.weight: bits is 4 in the state, 2 here\n\t"
        "b.weight: bits is 4 in the state, 2 here\n\t"
        "a.lif: tau is 2.0 in the state, 3.0 here"
    )
    assert unloadable(error) == (
        "the checkpoint was trained otherwise than this recipe says: "
        "bits is 4 in the state, 2 here (a.weight and 1 more); "
        "tau is 2.0 in the state, 3.0 here (a.lif); "
        "`--ckpt_changes allow` says that the change is meant"
    )


def saved_by_fit(folder, here):
    """Train the small recipe, and return what it saved."""
    assert here("fit", "-c", "good.yaml") == 0
    (path,) = {each.resolve() for each in folder.glob("runs/good/checkpoints/*.ckpt")}
    return path, torch.load(path, weights_only=True)


@pytest.mark.slow
def test_going_on_otherwise_is_one_sentence(folder, here, capsys):
    path, content = saved_by_fit(folder, here)
    words = ("fit", "-c", "good.yaml", "--ckpt_path", str(path))
    assert here(*words, "--trainer.max_epochs", "1") == 2
    assert "has been trained for 2 epochs, and trainer.max_epochs is 1" in only_error(
        capsys.readouterr().err
    )
    tiny = folder / "tiny.py"
    tiny.write_text(tiny.read_text().replace("optim.SGD", "optim.Adam"))
    del sys.modules["tiny"]
    more = ("--trainer.max_epochs", "3")
    assert here(*words, *more) == 2
    assert "is of another optimizer than this recipe's (Adam)" in only_error(
        capsys.readouterr().err
    )
    for key in ("loops", "optimizer_states", "lr_schedulers", "pytorch-lightning_version"):
        torch.save({k: v for k, v in content.items() if k != key}, "less.ckpt")
        assert here("fit", "-c", "good.yaml", "--ckpt_path", "less.ckpt") == 2
        assert f"less.ckpt was not saved by `fit`, or is damaged: {key}" in only_error(
            capsys.readouterr().err
        )
    # its weights, and a new training
    assert here(*words, *more, "--ckpt_changes", "allow") == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight_decay": 0.1}, "optimizer has weight_decay 0, and this recipe's 0.1"),
        ({"lr": 0.2}, "optimizer has initial_lr 0.1, and this recipe's 0.2"),
        ({"momentum": 0.5}, "optimizer has momentum 0.9, and this recipe's 0.5"),
        ({"epochs": 8}, "schedule has T_max 4, and this recipe's 8"),
        ({"min_lr": 0.01}, r"schedule has eta_min 0\.0, and this recipe's 0\.01"),
        ({"warmup_epochs": 2, "epochs": 5}, "schedule has milestones .1., and this recipe's .2."),
        ({"warmup_epochs": 1, "epochs": 6}, "schedule has T_max 3, and this recipe's 5"),
        ({"warmup_epochs": 1}, None),
    ],
)
def test_going_on_with_other_numbers_is_refused(change, words):
    def trainer(lr=0.1, epochs=4, min_lr=None, warmup_epochs=0, **options):
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = torch.optim.SGD([weight], lr, **{"momentum": 0.9} | options)
        schedule = build_schedule(optimizer, "cosine", epochs, warmup_epochs, min_lr)
        config = SimpleNamespace(scheduler=schedule)
        return SimpleNamespace(optimizers=[optimizer], lr_scheduler_configs=[config])

    before = trainer(warmup_epochs=int("warmup_epochs" in change))
    for _ in range(3):  # what a training changes is not compared
        before.optimizers[0].step()
        before.lr_scheduler_configs[0].scheduler.step()
    content = {
        "optimizer_states": [before.optimizers[0].state_dict()],
        "lr_schedulers": [before.lr_scheduler_configs[0].scheduler.state_dict()],
    }
    with nullcontext() if words is None else pytest.raises(RecipeError, match=words):
        check_optimizers(content, trainer(**change))


def test_a_rate_that_no_schedule_covers_is_named(folder, here, capsys):
    saved_by_fit(folder, here)
    capsys.readouterr()
    more = ("--trainer.max_epochs=3", "--model.lr=0.5", "--ckpt_path=last")
    assert here("fit", "-c", "good.yaml", *more) == 0
    note = "the checkpoint's learning rate 0.1 is used, not this recipe's 0.5"
    assert note in capsys.readouterr().err


def test_a_trusted_checkpoint_that_may_be_changed_begins_a_new_training(folder, here, caplog):
    path, _ = saved_by_fit(folder, here)
    words = ("--ckpt_path", str(path), "--ckpt_changes=allow", "--weights_only=false")
    caplog.clear()
    assert here("fit", "-c", "good.yaml", *words) == 0
    assert "Restored all states" not in caplog.text
    assert (path.parent / "last-v1.ckpt").is_file()


def test_the_option_takes_two_words(here, capsys):
    assert here("fit", "-c", "good.yaml", "--ckpt_changes", "maybe") == 2
    assert only_error(capsys.readouterr().err).startswith("--ckpt_changes: maybe is not allowed")


VALUES = (None, -1, 1e400, "foo", [], {}, [None], {"a": 1}, True, torch.zeros(2), "1.x")


def mutated(content, draw):
    """A copy of nested values of which one is dropped or replaced."""
    if isinstance(content, dict) and content:
        key = draw.choice([*content])
        copied = dict(content)
        if draw.random() < 0.5 and isinstance(content[key], dict | list) and content[key]:
            copied[key] = mutated(content[key], draw)
        elif draw.random() < 0.4:
            del copied[key]
        else:
            copied[key] = draw.choice(VALUES)
        return copied
    if isinstance(content, list) and content:
        number = draw.randrange(len(content))
        return [mutated(v, draw) if i == number else v for i, v in enumerate(content)]
    return draw.choice(VALUES)


def damaged(content, draw):
    """Bytes of which some are flipped, cut off or doubled."""
    place = draw.randrange(len(content))
    match draw.randrange(3):
        case 0:
            return content[:place]
        case 1:
            changed = bytearray(content)
            for _ in range(draw.choice((1, 8))):
                changed[draw.randrange(len(content))] = draw.randrange(256)
            return bytes(changed)
    return content[:place] + content[draw.randrange(len(content)) :]


def test_damaged_bytes_are_refused_or_read_as_they_were(tmp_path):
    content, path, draw = saved_bytes(tmp_path), tmp_path / "bad.ckpt", random.Random(0)
    refused = 0
    for _ in range(100):
        path.write_bytes(damaged(content, draw))
        try:
            read = read_checkpoint(path)
        except RecipeError:
            refused += 1
        else:  # nothing that a checksum tells is loaded
            assert torch.equal(read["state_dict"]["weight"], torch.arange(400.0))
    assert refused > 60


@pytest.mark.slow
def test_a_hundred_mutated_checkpoints_end_without_a_traceback(folder, here, capsys):
    _, content = saved_by_fit(folder, here)
    draw, statuses = random.Random(0), []
    for _ in range(100):
        write(folder / "bad.ckpt", mutated(content, draw))
        stage = draw.choice(("fit", "test"))
        capsys.readouterr()
        statuses.append(here(stage, "-c", "good.yaml", "--ckpt_path", "bad.ckpt"))
        if statuses[-1]:
            only_error(capsys.readouterr().err)
    assert set(statuses) == {0, 2}
    assert statuses.count(2) > 40
