"""A run that is cut short leaves a checkpoint, from which it goes on as if never stopped."""

import os
import signal
import subprocess
import sys
import warnings
import zipfile
from contextlib import suppress

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from qsnn_plugins.errors import QSNNError
from qsnn_plugins.lightning import RunCheckpoint, newest_checkpoint
from qsnn_plugins.lightning import checkpoint as checkpoint_module
from qsnn_plugins.lightning.divergence import DivergenceError
from tests.lightning.small_run import Data, build, same

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice


class Signal(Callback):
    """Sends a signal within a batch or a validation."""

    def __init__(self, step=None, validation=None, signum=signal.SIGINT, times=1):
        self.step, self.validation, self.signum, self.times = step, validation, signum, times

    def _send(self):
        for _ in range(self.times):
            signal.raise_signal(self.signum)
        self.times = 0

    def on_before_backward(self, trainer, *args):
        if trainer.global_step + 1 == self.step:
            self._send()

    def on_validation_batch_start(self, trainer, *args):
        if not trainer.sanity_checking and trainer.current_epoch == self.validation:
            self._send()


@pytest.fixture(autouse=True)
def _interrupts():
    """A shell that runs the tests in the background has Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


@pytest.fixture
def fit(trainer, folder):
    """Train a network with all that a resumption can lose; return its state and its batches."""

    def run(*callbacks, data=None, schedule="cosine", **options):
        model, data = build(schedule=schedule), data or Data()
        run = trainer(
            callbacks=[*callbacks, RunCheckpoint(str(folder))], **({"max_epochs": 3} | options)
        )
        ckpt_path = "last" if newest_checkpoint(folder) else None
        with suppress(SystemExit):  # of Lightning, after an interrupt
            run.fit(model, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
        return model.state_dict(), data.seen

    return run


@pytest.fixture
def unbroken(fit, folder):
    state, seen = fit()
    (folder / "last.ckpt").unlink()
    return state, seen


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [1, 7, 14])
def test_a_stop_within_an_epoch_loses_and_repeats_no_batch(fit, folder, unbroken, step, signum):
    _, before = fit(Signal(step, signum=signum))
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    assert saved["global_step"] == step
    state, after = fit()
    assert before + after == unbroken[1]
    assert same(state, unbroken[0])


@pytest.mark.parametrize(
    ("options", "step"),
    [
        ({"accumulate_grad_batches": 2}, 4),
        ({"limit_train_batches": 3}, 4),
        ({"overfit_batches": 3}, 5),
        ({"max_steps": 9, "max_epochs": -1}, 6),
        ({"val_check_interval": 2}, 7),
        ({"schedule": "one_cycle"}, 7),
        ({"schedule": "one_cycle", "max_steps": 9}, 6),
        ({"schedule": "constant"}, 7),
    ],
)
def test_a_stop_is_exact_whatever_an_epoch_is(fit, folder, options, step):
    whole, all_seen = fit(**options)
    (folder / "last.ckpt").unlink()
    _, before = fit(Signal(step), **options)
    assert len(before) < len(all_seen)
    state, after = fit(**options)
    assert before + after == all_seen
    assert same(state, whole)


def test_a_users_own_checkpoint_within_an_epoch_keeps_its_place(trainer, tmp_path):
    def fit(ckpt_path=None, **options):
        data = Data()
        steps = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=2, save_top_k=-1)
        run = trainer(callbacks=[steps], **options)
        model = build(schedule="one_cycle")
        run.fit(model, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
        return data.seen

    whole = fit(max_epochs=2)
    assert fit(str(tmp_path / "step=6.ckpt"), max_epochs=2) == whole[6:]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"batch_size": 6}, "with data.batch_size 4, and here it is 6"),
        ({"seed": 5}, "with data.seed 0, and here it is 5"),
    ],
)
def test_a_place_within_an_epoch_is_of_its_batches(fit, folder, option, said):
    fit(Signal(7))
    with pytest.raises(QSNNError, match=said):
        fit(data=Data(**option))
    with pytest.raises(QSNNError, match=r"with trainer.overfit_batches unset, and here it is set"):
        fit(overfit_batches=4)
    fit()
    fit(data=Data(**option), max_epochs=4, schedule="constant")  # from the end of an epoch


class EndsEarly(Callback):
    """What `max_time` does, after a step."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *args):
        trainer.should_stop |= trainer.global_step == self.step


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
@pytest.mark.parametrize("step", [5, 7])  # at the end of an epoch, and within one
def test_a_time_limit_loses_and_repeats_no_batch(fit, folder, schedule, step):
    whole, all_seen = fit(schedule=schedule)
    (folder / "last.ckpt").unlink()
    _, before = fit(EndsEarly(step), schedule=schedule)
    assert len(before) == step
    state, after = fit(schedule=schedule)
    assert before + after == all_seen
    assert same(state, whole)


def test_a_limit_of_steps_may_be_raised(fit, folder):
    whole, all_seen = fit(schedule="constant", max_steps=11)
    (folder / "last.ckpt").unlink()
    _, before = fit(schedule="constant", max_steps=7)
    state, after = fit(schedule="constant", max_steps=11)
    assert (len(before), before + after) == (7, all_seen)
    assert same(state, whole)


class NaN(Callback):
    """Ruins a parameter, or a buffer, after a step."""

    def __init__(self, step, name):
        self.step, self.name = step, name

    def on_train_batch_end(self, trainer, model, *args):
        if trainer.global_step == self.step:
            with torch.no_grad():
                model.state_dict(keep_vars=True)[self.name].fill_(torch.nan)


@pytest.mark.parametrize("kind", ["parameter", "buffer"])
def test_a_stop_does_not_save_what_has_diverged(fit, folder, kind):
    end = ".bias" if kind == "parameter" else ".running_mean"
    name = next(name for name in build().state_dict() if name.endswith(end))
    with pytest.raises(DivergenceError, match=f"diverged in epoch 1: {name} is not"):
        fit(NaN(6, name), Signal(8))
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 5
    assert not saved["state_dict"][name].isnan().any()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_workers_leave_a_signal_to_the_whole_group_to_the_training(signum):
    loader = Data(num_workers=1).train_dataloader()
    batches = iter(loader)
    next(batches)
    (worker,) = loader._iterator._workers
    os.kill(worker.pid, signum)
    assert len(list(batches)) == 4
    assert worker.is_alive()


@pytest.mark.slow
def test_a_stop_is_exact_with_workers(fit, folder, unbroken):
    _, before = fit(Signal(step=7), data=Data(num_workers=2))
    state, after = fit(data=Data(num_workers=2))
    assert before + after == unbroken[1]
    assert same(state, unbroken[0])


@pytest.mark.parametrize("asked", [{"step": 5}, {"validation": 0}])
def test_a_stop_after_the_last_batch_ends_the_epoch(fit, folder, unbroken, asked, capfd):
    _, before = fit(Signal(**asked))
    assert len(before) == 5
    assert (
        "stopping after this batch, or after the validation of its epoch" in capfd.readouterr().err
    )
    state, after = fit()
    assert before + after == unbroken[1]
    assert same(state, unbroken[0])


def test_a_second_signal_stops_at_once_and_leaves_the_epoch_before(fit, folder, unbroken):
    _, before = fit(Signal(step=8, times=2))
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 5
    state, after = fit()
    assert before[:5] + after == unbroken[1]
    assert same(state, unbroken[0])


def test_a_crash_leaves_the_epoch_before(fit, folder, unbroken):
    class Bug(Callback):
        def on_before_backward(self, trainer, *args):
            if trainer.global_step == 7:
                raise KeyError("a bug")

    with pytest.raises(KeyError):
        fit(Bug())
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 5
    assert same(fit()[0], unbroken[0])


def test_every_epoch_is_saved_with_and_without_validation(model, loader, trainer, folder):
    for epochs, arguments in [(1, {}), (2, {"val_dataloaders": loader})]:
        for every in (1, 2):
            t = trainer(
                max_epochs=epochs,
                callbacks=[RunCheckpoint(str(folder))],
                check_val_every_n_epoch=every,
            )
            t.fit(model, loader, **arguments)
            newest = torch.load(newest_checkpoint(folder), weights_only=True)
            assert newest["global_step"] == 4 * epochs


def test_a_second_run_loses_nothing_of_the_first(model, loader, trainer, folder):
    for steps in (4, 2):
        trainer(
            max_epochs=1, callbacks=[RunCheckpoint(str(folder))], limit_train_batches=steps
        ).fit(model, loader)
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 4
    assert torch.load(folder / "last-v1.ckpt", weights_only=True)["global_step"] == 2
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock",
        "last-v1.ckpt",
        "last.ckpt",
    ]


def test_the_newest_whole_checkpoint_is_the_last(fit, folder, unbroken):
    """What an earlier version left when it was killed: links to nowhere, cut files."""
    fit(Signal(step=5))
    (folder / "last.ckpt").rename(folder / "epoch=0.ckpt")
    (folder / "last.ckpt").symlink_to("epoch=1.ckpt")
    (folder / "last-v1.ckpt").write_bytes((folder / "epoch=0.ckpt").read_bytes()[:-100])
    (folder / "epoch=1.ckpt.part").touch()
    assert newest_checkpoint(folder) == folder / "epoch=0.ckpt"
    assert same(fit()[0], unbroken[0])


def test_a_link_is_replaced_and_its_target_stays(fit, folder):
    fit(max_epochs=1)
    (folder / "last.ckpt").rename(folder / "epoch=0.ckpt")
    (folder / "last.ckpt").symlink_to("epoch=0.ckpt")
    first = (folder / "epoch=0.ckpt").read_bytes()
    fit(Signal(step=7))
    assert (folder / "epoch=0.ckpt").read_bytes() == first


def test_nothing_passes_through_the_folder_of_temporary_files(fit, folder, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    fit(max_epochs=1)
    assert zipfile.is_zipfile(folder / "last.ckpt")


def test_a_full_disk_is_one_sentence_and_leaves_the_last_checkpoint(fit, folder, monkeypatch):
    fit(max_epochs=1)
    first = (folder / "last.ckpt").read_bytes()

    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

    save = torch.save
    monkeypatch.setattr(checkpoint_module.torch, "save", lambda state, file: save(state, Full()))
    message = r"the checkpoint .*last\.ckpt cannot be written \(No space left on device\)"
    with pytest.raises(QSNNError, match=message + "; an older one is kept$"):
        fit()
    assert (folder / "last.ckpt").read_bytes() == first
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "last.ckpt"]
    (folder / "last.ckpt").unlink()
    with pytest.raises(QSNNError, match=message + "$"):
        fit()


def test_a_protected_checkpoint_stops_before_a_batch_and_not_after_an_epoch(fit, folder):
    fit(max_epochs=1)
    (folder / "last.ckpt").chmod(0o444)
    data = Data()
    with pytest.raises(QSNNError, match=r"last\.ckpt cannot be written \(the file is write-prot"):
        fit(data=data)
    assert not data.seen


def test_a_folder_that_cannot_be_made_is_one_sentence(fit, folder):
    folder.write_text("a file")
    with pytest.raises(QSNNError, match=r"checkpoints cannot be written \(.*\): give this run"):
        fit()


def test_two_runs_at_once_in_one_folder_are_refused(fit, folder):
    folder.mkdir()
    code = (
        "import sys; from qsnn_plugins.files import locked\n"
        "with locked(sys.argv[1]): print('locked', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"locked\n"
    with pytest.raises(QSNNError, match=r"another run is writing to .*checkpoints: wait, or give"):
        fit()
    assert not list(folder.glob("*.ckpt"))
    process.kill()
    process.wait()
    fit(max_epochs=1)


def test_what_is_in_the_folder_is_no_reason_to_warn(fit, folder, recwarn):
    warnings.simplefilter("always")
    fit(Signal(step=5))
    fit()
    assert not [each for each in recwarn if "not empty" in str(each.message)]


def test_what_a_killed_save_left_is_removed(fit, folder):
    folder.mkdir()
    (folder / f".last.ckpt.{os.urandom(16).hex()}.tmp").write_text("half")
    fit(max_epochs=1)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "last.ckpt"]
