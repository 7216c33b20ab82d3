"""One training with its test, in processes of their own: what a user would type."""

from __future__ import annotations

import csv
import json
import re
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from qsnn_plugins.errors import DataError
from qsnn_plugins.files import atomic_write
from qsnn_plugins.reproduce.results import RESULTS

__all__ = [
    "Begun",
    "Memory",
    "Run",
    "checkout_commit",
    "convention_of",
    "machine_name",
    "model_memory",
    "run_folder",
    "run_setup",
    "terminate_runs",
]

# By which convention of `qsnn cost` a paper counts, where it has none of its own name.
_CONVENTIONS = {"bit_budget": "chip", "comparison": "chip"}
_ROOT = Path(__file__).resolve().parents[2]  # of the checkout, or where packages are installed


def run_folder(words: tuple[str, ...], seed: int, commit: str) -> str:
    """Return the name of a run's folder: the same run at the same commit has the same.

    Args:
        words: Words of the run, behind those that all runs beside it share.
        seed: Its seed.
        commit: Commit of this package.

    Example:
        >>> run_folder(("--model.network.spec.preset=imsnn",), 42, "77a97f2")
        'model.network.spec.preset-imsnn-fc25-seed42-77a97f2'
    """
    text = " ".join(words)
    readable = re.sub(r"[^\w.]+", "-", text).strip("-")[:60] or "recipe"
    return f"{readable}-{sha256(text.encode()).hexdigest()[:4]}-seed{seed}-{commit}"


@dataclass(frozen=True)
class Begun:
    """When, where and as what a run began, as `run.json` in its folder has it.

    Args:
        command: The whole command.
        commit: Commit of this package.
        date: Day, such as 2026-11-21.
        machine: Processor or GPU, in words.
        trained: Whether its training is done.
    """

    command: str
    commit: str
    date: str
    machine: str
    trained: bool = False


@dataclass(frozen=True)
class Run:
    """A recipe with the words behind it, a seed, and a folder of its own.

    A run that was cut off goes on from its last checkpoint, and one that is trained is tested
    alone.

    Args:
        words: Words of the recipe, from `-c RECIPE` on.
        seed: Seed of the weights and of the training order.
        folder: Where the run leaves its files.
        start: The run whose weights it begins with, if any.
        trains: Whether it trains at all, and does not only test the weights of `start`.

    Example:
        >>> Run(("-c", "recipes/a.yaml"), 7, Path("runs/a")).command
        'lightning fit -c recipes/a.yaml --seed_everything=7 --data.seed=7'
    """

    words: tuple[str, ...]
    seed: int
    folder: Path
    start: Run | None = None
    trains: bool = True

    @property
    def seeded(self) -> tuple[str, ...]:
        """The words with the seed."""
        return (*self.words, f"--seed_everything={self.seed}", f"--data.seed={self.seed}")

    @property
    def command(self) -> str:
        """What trains it, or tests what it does not train."""
        word = "fit" if self.trains else "test"
        return shlex.join(["lightning", word, *self.seeded, *self._weights()])

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint."""
        return self.folder / "checkpoints" / "last.ckpt"

    def test(self) -> dict[str, str]:
        """Train, as far as that is not done, and test; return what the test logged, by name.

        Raises:
            DataError: If one of the two failed; the error names its log. If the test logged
                nothing. If the folder holds another run.
        """
        self.train()
        self._call("test", *(("--ckpt_path=last",) if self.trains else self._weights()))
        if not (logged := self._metrics("test")):
            raise DataError(
                f"the test logged nothing in {self.folder}: leave the trainer its logger"
            )
        return logged[-1]

    def train(self) -> None:
        """Train, as far as that is not done, after the run that it begins with.

        Raises:
            DataError: See `test`.
        """
        if self.start is not None:
            self.start.train()
        begun = self.begin()
        if self.trains and not begun.trained:
            is_begun = self.checkpoint.exists()
            self._call("fit", *(("--ckpt_path=last",) if is_begun else self._weights()))
            self._write(replace(begun, trained=True))

    def begin(self) -> Begun:
        """Return when and as what the run began, which may be now.

        Raises:
            DataError: If the folder holds another run, or cannot be read.
        """
        path = self.folder / "run.json"
        if not path.exists():
            begun = Begun(
                self.command, checkout_commit(), f"{datetime.now(UTC):%Y-%m-%d}", machine_name()
            )
            self._write(begun)
            return begun
        try:
            begun = Begun(**json.loads(path.read_text("utf-8")))
        except (TypeError, ValueError, OSError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        if begun.command != self.command:
            raise DataError(f"{self.folder} holds another run: {begun.command}")
        return begun

    def _write(self, begun: Begun) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.folder / "run.json", "w") as file:
            json.dump(asdict(begun), file, indent=1)
            file.write("\n")

    def _weights(self) -> tuple[str, ...]:
        """The words by which it begins with another run's weights."""
        if self.start is None:
            return ()
        return f"--ckpt_path={self.start.checkpoint}", "--ckpt_changes=allow"

    @property
    def epochs(self) -> int:
        """Epochs that were trained.

        Raises:
            DataError: If none was logged.
        """
        if not self.trains and self.start is not None:
            return self.start.epochs
        return self._epochs()

    @property
    def share_trained(self) -> float:
        """Share of its epochs that have been trained, as far as its files tell by now."""
        try:
            configs = sorted(self.folder.glob("fit/version_*/config.yaml"))
            config = yaml.safe_load(configs[-1].read_text("utf-8"))
            known, validated = self._epochs(), self.metrics()
            whole = bool(validated) and int(validated[-1]["epoch"]) + 1 == known
            return min((known - 1 + whole) / config["trainer"]["max_epochs"], 1.0)
        except (
            DataError,
            OSError,
            LookupError,
            TypeError,
            ValueError,
            ArithmeticError,
            yaml.YAMLError,
        ):
            return 0.0  # not there yet, or half written

    def _epochs(self) -> int:
        logged = [int(row["epoch"]) for row in self._metrics("fit") if row["epoch"]]
        if not logged:
            raise DataError(f"the training logged no epoch in {self.folder}")
        return max(logged) + 1

    def metrics(self) -> list[dict[str, str]]:
        """One row per validation: epoch, step, what was measured and the last batch's loss.

        Of epochs that were trained again after the run was cut off, the last ones.
        """
        rows, loss = dict[int, dict[str, str]](), ""
        for row in self._metrics("fit"):
            loss = row.get("train_loss") or loss
            if any(value for name, value in row.items() if name.startswith("val_")):
                rows[int(row["epoch"])] = row | {"train_loss": loss}
        return [rows[epoch] for epoch in sorted(rows)]

    def _call(self, *words: str) -> None:
        quiet = ["--trainer.enable_progress_bar=false", f"--trainer.default_root_dir={self.folder}"]
        log = self.folder / f"{words[0]}.log"
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "qsnn_plugins", *words, *self.seeded, *quiet],
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            _processes.add(process)
            process.wait()
            _processes.remove(process)
        if process.returncode:
            last = (log.read_text("utf-8").strip().splitlines() or ["no output"])[-1]
            raise DataError(f"{words[0]} ended with status {process.returncode}, see {log}: {last}")

    def _metrics(self, word: str) -> list[dict[str, str]]:
        """What was logged, of all parts of a run that was cut off, the oldest first."""
        rows: list[dict[str, str]] = []
        files = self.folder.glob(f"{word}/version_*/metrics.csv")
        for path in sorted(files, key=lambda path: int(path.parent.name.removeprefix("version_"))):
            with path.open(encoding="utf-8") as file:
                rows += csv.DictReader(file)
        return rows


_processes: set[subprocess.Popen[bytes]] = set()


def terminate_runs() -> None:
    """Let what trains or tests end as after SIGTERM."""
    for process in list(_processes):
        process.terminate()


class Setup(NamedTuple):
    """What a run trains, on what: see `Result`."""

    data: str
    network: str
    time_steps: int


def run_setup(words: tuple[str, ...]) -> Setup:
    """Return what a command line trains, as `lightning fit --print_config` says.

    Args:
        words: Words of the recipe, from `-c RECIPE` on.

    Raises:
        DataError: If it cannot be parsed.
    """
    config = yaml.safe_load(_qsnn("fit", *words, "--print_config"))
    data, model = config["data"], config["model"]["init_args"]
    network = model["network"]["init_args"]
    kind = model["network"]["class_path"].rpartition(".")[2]
    name = network.get("name") or network.get("layers") or f"{kind} {network.get('depth', '')}"
    width = network.get("width", 1)
    return Setup(
        data["class_path"].rpartition(".")[2],
        name.strip() + (f", width {width:g}" if width != 1 else ""),
        model.get("time_steps") or data["init_args"].get("time_steps") or 1,
    )


class Memory(NamedTuple):
    """Bytes of a network, of one sample: all parameters, the stored membranes, and their total.

    The total is as the paper counts it, which may take in spikes or leave out parameters.
    """

    weights: int
    states: int
    total: int


def convention_of(paper: str) -> str:
    """Return the convention of `qsnn cost` by which a paper's results count bytes.

    Example:
        >>> convention_of("qsnn"), convention_of("comparison")
        ('qsnn', 'chip')
    """
    return _CONVENTIONS.get(paper, paper)


def model_memory(words: tuple[str, ...], paper: str) -> Memory:
    """Return the bytes of a recipe's network as its paper counts them, by `qsnn cost`.

    Args:
        words: Words of the recipe, from `-c RECIPE` on.
        paper: Key of the paper.

    Raises:
        DataError: If it cannot be counted.
    """
    options = ["--json", "--full_precision", f"--convention={convention_of(paper)}"]
    counted: dict[str, Any] = json.loads(_qsnn("cost", *words, *options))
    memory = counted["memory"]
    return Memory(sum(memory["parameters"].values()), memory["membranes"], memory["total"])


def _qsnn(*words: str) -> str:
    """What a command of this package prints."""
    process = subprocess.run(
        [sys.executable, "-m", "qsnn_plugins", *words],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if process.returncode:
        said = process.stderr.strip() or f"it ended with status {process.returncode}"
        raise DataError(f"{' '.join(words)}: {said.splitlines()[-1]}")
    return process.stdout


def checkout_commit() -> str:
    """Return the commit of this package, whose checkout is the current folder.

    Raises:
        DataError: If it is not a checkout, or not the one that this package is imported from. If
            tracked files, other than results, were changed since.
    """
    try:
        code = (".", f":(exclude){RESULTS}")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", *code)
        commit = _git("rev-parse", "--short=7", "HEAD")
    except (OSError, subprocess.CalledProcessError) as error:
        said = str(getattr(error, "stderr", None) or error).strip().splitlines()[0]
        raise DataError(
            "this folder is not a git checkout that can be read, but a result must name a commit: "
            f"{said}"
        ) from error
    if not Path.cwd().samefile(_ROOT):
        raise DataError(
            "this folder is not the root of the checkout that this package is imported from, but a "
            f"result must name the package's commit: it is in {_ROOT}"
        )
    if changed:
        raise DataError(
            "there are uncommitted changes, but a result must name a commit: commit them first"
        )
    return commit


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], capture_output=True, encoding="utf-8", errors="replace", check=True
    ).stdout.strip()


def machine_name() -> str:
    """Return the GPU's name, or the processor's with the threads that torch takes.

    Example:
        >>> machine_name() != ""
        True
    """
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    name = "CPU"
    if (table := Path("/proc/cpuinfo")).is_file():
        models = [
            line for line in table.read_text("utf-8").splitlines() if line.startswith("model name")
        ]
        name = models[0].partition(":")[2].strip() if models else name
    threads = torch.get_num_threads()
    return f"{name}, {threads} thread{'s' * (threads > 1)}"
