"""Kills trainings at random moments and between the steps of saving, and resumes each.

Children are forked from one process that has imported and built everything. Prints a line per kill.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from qsnn_plugins.torchvision_ops import register_missing_ops

register_missing_ops()

import torch  # noqa: E402
from lightning.pytorch import Callback, Trainer  # noqa: E402

from qsnn_plugins import files  # noqa: E402
from qsnn_plugins.lightning import RunCheckpoint, newest_checkpoint  # noqa: E402
from qsnn_plugins.lightning import checkpoint as checkpoint_module  # noqa: E402
from tests.lightning.small_run import Data, build, same  # noqa: E402

RANDOM = 12


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def on_call(module, name, number, before):
    """Die before or after a function of a module is called for the so manieth time."""
    own, calls = getattr(module, name), []

    def call(*arguments):
        calls.append(1)
        if len(calls) == number and before:
            die()
        result = own(*arguments)
        if len(calls) == number:
            die()
        return result

    setattr(module, name, call)


def half_saved(number):
    """Die when half of a checkpoint is written."""
    save, calls = torch.save, []

    class Half:
        def __init__(self, file):
            self.file, self.left = file, 5_000

        def write(self, data):
            written = self.file.write(data[: self.left])
            self.left -= len(data)
            if self.left < 0:
                self.file.flush()
                die()
            return written

        def flush(self):
            self.file.flush()

    def call(state, file):
        calls.append(1)
        save(state, Half(file) if len(calls) == number else file)

    checkpoint_module.torch.save = call


class Stop(Callback):
    """Asks for a stop in the middle of the second epoch, which saves then and there."""

    def on_before_backward(self, trainer, *args):
        if trainer.global_step == 6:
            signal.raise_signal(signal.SIGINT)


# a checkpoint is opened, written, synced, renamed; then its folder is synced: two calls of fsync
PLACED = {
    "first save, half written": lambda: half_saved(1),
    "second save, half written": lambda: half_saved(2),
    "second save, before it is synced": lambda: on_call(files.os, "fsync", 3, before=True),
    "second save, before it is renamed": lambda: on_call(files.os, "replace", 2, before=True),
    "second save, after it was renamed": lambda: on_call(files.os, "replace", 2, before=False),
    "last save, before it is renamed": lambda: on_call(files.os, "replace", 3, before=True),
    "stop within an epoch, half written": lambda: half_saved(2),
    "stop within an epoch, after it was renamed": lambda: on_call(
        files.os, "replace", 2, before=False
    ),
}


def train(folder, *callbacks):
    quiet = {name: False for name in ("logger", "enable_progress_bar", "enable_model_summary")}
    trainer = Trainer(
        max_epochs=3, accelerator="cpu", callbacks=[*callbacks, RunCheckpoint(str(folder))], **quiet
    )
    model = build()
    ckpt_path = "last" if newest_checkpoint(folder) else None
    trainer.fit(model, datamodule=Data(), ckpt_path=ckpt_path, weights_only=True)
    return model.state_dict()


def fork(act, *arguments):
    """Run a function in a child; return its process."""
    child = os.fork()
    if child == 0:
        try:
            act(*arguments)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return child


def patched(patch, folder, *callbacks):
    patch()
    train(folder, *callbacks)


def was_killed(child):
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def resumed(folder, unbroken):
    """Whether the run that was killed ends with the weights of the unbroken one."""
    result = folder / "weights.pt"
    child = fork(lambda: torch.save(train(folder), result))
    finished = os.waitpid(child, 0)[1] == 0
    left = [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]
    return finished and not left and same(torch.load(result, weights_only=True), unbroken)


def main(root):
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    generator = random.Random(0)
    train(root / "warm")
    start = time.perf_counter()
    unbroken = train(root / "unbroken")
    seconds = time.perf_counter() - start
    kills = 0
    while kills < RANDOM:
        folder = root / f"random{kills}"
        child = fork(train, folder)
        time.sleep(generator.uniform(0.1, 1.0) * seconds)
        os.kill(child, signal.SIGKILL)
        if was_killed(child):
            kills += 1
            begun = "resumed" if newest_checkpoint(folder) else "begun anew"
            print(f"random, {begun}: {resumed(folder, unbroken)}", flush=True)
        else:
            seconds *= 0.9
    for number, (place, patch) in enumerate(PLACED.items()):
        folder = root / f"placed{number}"
        callbacks = [Stop()] if place.startswith("stop") else []
        child = fork(patched, patch, folder, *callbacks)
        assert was_killed(child), place
        print(f"{place}: {resumed(folder, unbroken)}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
