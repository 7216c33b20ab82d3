"""`qsnn measure`: train and test the table rows of a recipe.

The options of each row come from the tables, so one command can measure, for example, all five bit
widths on N-MNIST. The results are written to docs/results, and `qsnn recipes` prints them beside
those of the paper.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from qsnn_plugins.errors import ArgumentError, DataError, QSNNError
from qsnn_plugins.progress import phase
from qsnn_plugins.reproduce.command import Parser
from qsnn_plugins.reproduce.record import RUNS, Record, results_of, tested_metrics
from qsnn_plugins.reproduce.results import fitting_rows
from qsnn_plugins.reproduce.run import (
    Run,
    checkout_commit,
    model_memory,
    run_folder,
    run_setup,
    terminate_runs,
)
from qsnn_plugins.reproduce.table import TableRow
from qsnn_plugins.reproduce.trained import TrainedCell, trained_cells
from qsnn_plugins.stopping import Stopped

__all__ = ["main", "rows_of"]

_SEEDS = (42, 43, 44)
_EPILOG = """
The same command at the same commit continues runs that were interrupted, and trains no run twice.
A result names the commit of the checkout, so commit your changes first.

example:
  qsnn measure -c recipes/nmnist_cpu.yaml --seeds 42 43
"""
# What it says of each run itself, and what is given in its place.
_SET_HERE = {
    "--ckpt_path": "none: a row begins with the weights that the tables name",
    "--seed_everything": "--seeds",
    "--data.seed": "--seeds",
    "--trainer.default_root_dir": "--folder",
}
_POLL = 2.0  # seconds between two looks at how far runs are


def rows_of(recipe: str, containing: str = "") -> dict[tuple[str, ...], list[TrainedCell]]:
    """Return the cells that a recipe trains, those of the same words together.

    Args:
        recipe: Such as "recipes/qsnn_resnet19_cifar10.yaml".
        containing: What the names of the rows must hold; a whole name stands for its row alone.

    Raises:
        DataError: If there is no such row, or its cells are differences between rows.

    Example:
        >>> list(rows_of("recipes/sigmoid_quantizer_decolle_nmnist.yaml", "N-MNIST, 4-bit"))
        [('-c', 'recipes/overlays/weights_4bit.yaml')]
    """
    trained = [cell for cell in trained_cells() if cell.recipe == recipe]
    cells = [cell for cell in trained if cell.column.unit == "%"]
    if trained and not cells:
        raise DataError(f"the rows that {recipe} trains print differences and no accuracy")
    fitting = fitting_rows((cell.row.row for cell in cells), containing)
    found: dict[tuple[str, ...], list[TrainedCell]] = {}
    for cell in cells:
        if cell.row.row in fitting:
            found.setdefault(cell.row.overrides, []).append(cell)
    if not found:
        rows = f" with {containing!r} in its name" if containing else ""
        raise DataError(f"no table row{rows} is trained by {recipe}: see recipes/README.md")
    return found


class _Task(NamedTuple):
    """A run, and the cells of the tables that its test fills."""

    cells: list[TrainedCell]
    run: Run


def main(words: list[str]) -> int:
    """Train, test and record; 0 if done, 1 where a run failed or a word does not fit."""
    try:
        _measure(*_parser().parse_known_args(words))
    except QSNNError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="qsnn measure",
        description="Train and test the table rows of a recipe, once for each seed, and record\n"
        "the results in docs/results. Other options are passed on to `lightning fit` and\n"
        "`lightning test`, except checkpoint, seed and folder, which are set for each run.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "-c",
        "--config",
        action="append",
        required=True,
        metavar="FILE",
        help="the recipe; further ones are overlays",
    )
    add("--seeds", type=int, nargs="+", default=_SEEDS, metavar="N", help="default: 42 43 44")
    add("--rows", default="", metavar="TEXT", help="the row of this name, or those that hold it")
    add("--folder", type=Path, default=RUNS, metavar="DIR", help=f"of the runs, default: {RUNS}")
    add(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="runs at the same time (default: 1); OMP_NUM_THREADS sets the threads of each",
    )
    return parser


def _measure(options: Namespace, others: list[str]) -> None:
    _check(options, others)
    name, tasks = _plan(options, others)
    started = datetime.now(UTC)
    record = Record(name)
    all_words = dict.fromkeys(task.run.words for task in tasks)
    with phase(f"checking the recipes of {len(all_words)} rows"):
        setups = {words: run_setup(words) for words in all_words}
    memory_of = cache(model_memory)
    beside = f", {options.jobs} runs at a time" if options.jobs > 1 else ""
    values, sizes, failed = dict[str, list[float]](), dict[str, int](), list[QSNNError]()
    with _pool(options.jobs) as pool:
        for (cells, run), logged in _trained_and_tested(pool, tasks, name):
            if isinstance(logged, QSNNError):
                failed.append(logged)
                continue
            try:
                memory = memory_of(run.words, cells[0].paper)
                tested = tested_metrics(cells, logged)
                shared = {
                    **setups[run.words]._asdict(),
                    "weight_bytes": memory.weights,
                    "state_bytes": memory.states,
                    "machine": run.begin().machine + beside,
                    "log": record.log.name,
                }
                results = results_of(cells, run, tested, shared)
            except QSNNError as error:
                failed.append(error)
                print(f"failed: {error}", file=sys.stderr, flush=True)
                continue
            record.add(run, tested, results)
            row = cells[0].row.row
            values.setdefault(row, []).append(results[0].value)
            sizes[row] = memory.total
            print(f"{row}, seed {run.seed}: {results[0].value:.2f} %", flush=True)
    _print(values, sizes, record)
    print(f"{(datetime.now(UTC) - started).total_seconds() / 60:.1f} minutes in all")
    if failed:
        raise DataError(
            f"{len(failed)} of {len(tasks)} runs failed and are not recorded: {failed[0]}"
        )


def _check(options: Namespace, others: list[str]) -> None:
    if options.jobs < 1:
        raise ArgumentError("--jobs", options.jobs, "a number of runs from 1")
    for seed in options.seeds:
        if not 0 <= seed < 2**32:
            raise ArgumentError("--seeds", seed, f"integers from 0 to {2**32 - 1}")
    for place, word in enumerate(others):
        option, is_whole, value = word.partition("=")
        allowed = _SET_HERE.get(option.replace(".init_args", ""))  # which may be left out
        if allowed:
            following = "".join(others[place + 1 : place + 2])
            raise ArgumentError(option, value if is_whole else following, allowed)


def _plan(options: Namespace, others: list[str]) -> tuple[str, list[_Task]]:
    """Return the name of the recipe with its overlays, and a run for each row and seed."""
    recipe, *overlays = map(_as_in_tables, options.config)
    rows, commit = rows_of(recipe, options.rows), checkout_commit()
    below = ("-c", recipe, *(word for file in overlays for word in ("-c", file)))
    name = "+".join(Path(file).stem for file in [recipe, *overlays])

    def run_of(cell: TrainedCell, row: TableRow, seed: int) -> Run:
        # a row's words come after the overlays: its width wins over what makes the run small
        own = (*row.overrides, *others)
        folder = Path(options.folder, name, run_folder(own, seed, commit))
        begun = run_of(cell, cell.rows[row.start], seed) if row.start else None
        return Run((*below, *own), seed, folder, begun, row.trains)

    seeds = dict.fromkeys(options.seeds)
    return name, [
        _Task(cells, run_of(cells[0], cells[0].row, seed))
        for cells in rows.values()
        for seed in seeds
    ]


def _trained_and_tested(
    pool: ThreadPoolExecutor, tasks: Sequence[_Task], name: str
) -> Iterator[tuple[_Task, Mapping[str, str] | QSNNError]]:
    """Train what runs begin with, then the runs; yield what the test of each logged, or its error.

    Those that cannot begin come first.
    """
    lost = dict[Path, QSNNError]()
    for starts in _starts([task.run for task in tasks]):
        if ready := [start for start in starts if _error_of(start, lost) is None]:
            text = f"training what others begin with, {len(ready)} runs"
            errors = _finished([pool.submit(start.train) for start in ready], ready, text)
            lost |= {s.folder: e for s, e in zip(ready, errors, strict=True) if e is not None}
    begun = []
    for task in tasks:
        if error := _error_of(task.run, lost):
            yield task, error
        else:
            begun.append(task)
    runs = [task.run for task in begun]
    text = f"training and testing {name}, {len(runs)} runs"
    yield from zip(
        begun, _finished([pool.submit(run.test) for run in runs], runs, text), strict=True
    )


def _starts(runs: Sequence[Run]) -> list[list[Run]]:
    """What runs begin with, after what that begins with; those of one list run side by side."""
    begun = list({run.start.folder: run.start for run in runs if run.start}.values())
    return [*_starts(begun), begun] if begun else []


def _error_of(run: Run, lost: Mapping[Path, QSNNError]) -> QSNNError | None:
    """Why a run, or one whose weights it begins with, was not trained, or None."""
    link: Run | None = run
    while link is not None:
        if link.folder in lost:
            return lost[link.folder]
        link = link.start
    return None


def _as_in_tables(file: str) -> str:
    """Write the path of a recipe as the tables do, from the root of the checkout."""
    path = Path(os.path.normpath(file))
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()


@contextmanager
def _pool(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for runs; a signal keeps those from beginning that have not begun."""
    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield pool
        except BaseException as stop:
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(stop, Stopped):  # Ctrl-C reaches the runs by itself
                terminate_runs()
            raise


def _finished(futures: Sequence[Future[Any]], runs: Sequence[Run], text: str) -> Iterator[Any]:
    """Yield each run's result, or its error, in their order; show how much of all is trained.

    An error is also printed at once.
    """
    told = set[int]()
    with phase(text, total=len(runs)) as done:
        for future in futures:
            is_over = False
            while not is_over:
                wait([future], timeout=_POLL)
                is_over = future.done()
                for number, each in enumerate(futures):
                    if number not in told and each.done() and (error := each.exception()):
                        told.add(number)
                        print(f"failed: {error}", file=sys.stderr, flush=True)
                done(sum(run.share_trained for run in runs))
            error = future.exception()
            if isinstance(error, QSNNError):
                yield error
            else:
                yield future.result()


def _print(values: dict[str, list[float]], sizes: dict[str, int], record: Record) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"recorded in {record.path}")
    for column in ("row", "model size, kB", "test, %", "spread", "seeds"):
        table.add_column(column, justify="left" if column == "row" else "right")
    for row, found in values.items():
        spread = f"{stdev(found):.2f}" if len(found) > 1 else ""
        size = f"{sizes[row] / 1000:,.2f}"
        table.add_row(row, size, f"{fmean(found):.2f}", spread, str(len(found)))
    Console().print(table)
    print("spread: standard deviation over the seeds; next step: qsnn recipes --write")
