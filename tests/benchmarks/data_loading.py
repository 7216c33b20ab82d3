"""Time to load cached frames against the time of a training step, for SpQuant's VGG-9.

    OMP_NUM_THREADS=2 python tests/benchmarks/data_loading.py --rounds 5 --threads 2

The recordings are made up: as many events as a recording of CIFAR10-DVS has, at 48 x 48 and T = 10.
They are integrated and cached as those of a data set are, and then a batch is loaded (mapped,
unpacked, transformed and collated, in the training process) and trained on, in turn within each
round; the ratio is the median of the rounds'. An overlap of the two, which workers would give, is
not counted. The speed of a shared machine changes from one minute to the next, its ratios less so.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from qsnn_plugins.data import FramesDataModule, NeuromorphicAugmentation
from qsnn_plugins.data.frame_cache import CachedFrames, EventReader, Recording, cached_frames
from qsnn_plugins.data.frames import EVENT_DTYPE, FrameBinning
from qsnn_plugins.lightning import SpikingClassifier
from qsnn_plugins.models import StringNet
from qsnn_plugins.presets import spquant

LAYERS = "64C3-128C3-AP2-256C3-256C3-AP2-512C3-512C3-AP2-1024C3-GAP-FC1024-FC10"
EVENTS = 200_000  # about as many as a recording of CIFAR10-DVS has
SENSOR = (128, 128)


class MadeUp(FramesDataModule):
    """Recordings of noise, cached in a folder."""

    def __init__(self, folder: Path, binary: bool, augment: bool, batch_size: int) -> None:
        augmentation = NeuromorphicAugmentation() if augment else None
        super().__init__(
            num_classes=10,
            frame_shape=(2, 48, 48),
            time_steps=10,
            batch_size=batch_size,
            augmentation=augmentation,
        )
        self.folder, self.binning = folder, FrameBinning(10, 48, "count", binary)

    def splits(self) -> tuple[CachedFrames, CachedFrames]:
        """Return as many recordings as four batches have, twice."""
        reader = EventReader("made-up", SENSOR, noise)
        recordings = []
        for number in range(4 * self.batch_size):
            path = self.folder / f"{number}.bin"
            path.touch()
            recordings.append(Recording(path, number % 10))
        frames = cached_frames(recordings, reader, self.binning, self.folder, split="train")
        return frames, frames


def noise(path: Path) -> np.ndarray:
    """Return events at random places, which the number of the file decides."""
    rng = np.random.default_rng(int(path.stem))
    events = np.zeros(EVENTS, dtype=EVENT_DTYPE)
    events["x"], events["y"] = rng.integers(0, 128, (2, EVENTS))
    events["t"], events["p"] = np.arange(EVENTS), rng.integers(0, 2, EVENTS)
    return events


def main() -> None:
    """Print one line for each kind of frames."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = SpikingClassifier(StringNet(LAYERS, in_channels=2, spec=spquant()))
    optimizer = torch.optim.Adam(network.parameters())
    print(f"torch {torch.__version__}, {options.threads} threads, batches of {options.batch}")
    print(f"load average {os.getloadavg()[0]:.1f}")
    print(f"{'frames':<18}{'loading, ms':>14}{'step, ms':>12}{'loading/step':>15}")
    for binary in (True, False):
        for augment in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                data = MadeUp(Path(folder), binary, augment, options.batch)
                loading, step, ratio = compare(data, network, optimizer, options.rounds)
            name = ("binary" if binary else "counted") + (" + NDA" if augment else "")
            print(f"{name:<18}{1e3 * loading:>14.2f}{1e3 * step:>12.1f}{ratio:>15.4f}")
    print(f"load average {os.getloadavg()[0]:.1f}")


def compare(
    data: MadeUp, network: SpikingClassifier, optimizer: torch.optim.Optimizer, rounds: int
) -> tuple[float, float, float]:
    """Return the median seconds of loading a batch and of a step, and the median of their ratio."""
    loader = data.train_dataloader()
    batches = iter(loader)
    train(network, optimizer, *next(batches))
    loadings, steps = [], []
    for _ in range(rounds):
        begin = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            batches = iter(loader)
            begin = time.perf_counter()
            batch = next(batches)
        between = time.perf_counter()
        train(network, optimizer, *batch)
        loadings.append(between - begin)
        steps.append(time.perf_counter() - between)
    ratios = [loading / step for loading, step in zip(loadings, steps, strict=True)]
    return statistics.median(loadings), statistics.median(steps), statistics.median(ratios)


def train(
    network: SpikingClassifier,
    optimizer: torch.optim.Optimizer,
    frames: torch.Tensor,
    labels: torch.Tensor,
) -> None:
    """Take one step of training."""
    optimizer.zero_grad()
    network.loss(network(frames), labels).backward()
    optimizer.step()


if __name__ == "__main__":
    main()
