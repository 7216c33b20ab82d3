"""Backwards of binary weights and initializations in short paired trainings on CIFAR-10.

    OMP_NUM_THREADS=1 python tests/benchmarks/short_trainings.py data/cifar-10-batches-bin

The first 2,000 images of each training file and of the test file, averaged to 16 x 16, and 300
batches of 32. It prints the mean loss of the last 50 batches and the test accuracy in per cent.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR

from qsnn_plugins import presets
from qsnn_plugins.models import StringNet
from qsnn_plugins.nn import MeanCrossEntropyLoss, TETLoss, set_weight_epoch

IMAGES, STEPS, BATCH, STEPS_PER_EPOCH = 2_000, 300, 32, 20
LAYERS = "16C3-32C3-MP2-64C3-64C3-GAP-FC10"


def read(path):
    """Images [2000, 3, 16, 16] around 0, and their labels."""
    rows = np.fromfile(path, dtype=np.uint8).reshape(-1, 3073)[:IMAGES]
    pixels = torch.tensor(rows[:, 1:].reshape(-1, 3, 32, 32)).float() / 255
    return F.avg_pool2d((pixels - 0.47) / 0.25, 2), torch.tensor(rows[:, 0].astype(np.int64))


def qsnn(gradient):
    """Q-SNN with 2-bit membranes and a backward of its weights."""
    spec = {"preset": "qsnn", "membrane_bits": 2, "weight": {"gradient": gradient}}
    return presets.resolve(spec), MeanCrossEntropyLoss()


def train(spec, loss_of, init, seed, train_set, test_set):
    """Return the last batches' loss and the test accuracy."""
    torch.manual_seed(seed)
    network = StringNet(LAYERS, 3, (16, 16), spec, conv_bias=False, init=init)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    schedule = CosineAnnealingLR(optimizer, STEPS)
    generator, losses = torch.Generator().manual_seed(seed), []
    images, labels = train_set
    for step in range(STEPS):
        if step % STEPS_PER_EPOCH == 0:
            set_weight_epoch(network, step // STEPS_PER_EPOCH, STEPS // STEPS_PER_EPOCH)
        chosen = torch.randint(len(labels), (BATCH,), generator=generator)
        network.reset_states()
        loss = loss_of(network(images[chosen].expand(2, BATCH, 3, 16, 16)), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    network.eval()
    images, labels = test_set
    hits = 0
    with torch.no_grad():
        for part, wanted in zip(images.split(200), labels.split(200), strict=True):
            network.reset_states()
            answers = network(part.expand(2, *part.shape)).sum(0).argmax(-1)
            hits += int((answers == wanted).sum())
    return float(np.mean(losses[-50:])), 100 * hits / len(labels)


def main() -> None:
    """Print a line per seed and way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    options = parser.parse_args()
    parts = [read(path) for path in sorted(options.folder.glob("data_batch_*.bin"))]
    train_set = tuple(map(torch.cat, zip(*parts, strict=True)))
    test_set = read(options.folder / "test_batch.bin")
    ways = {
        "Q-SNN, clipped": qsnn("clipped_straight_through"),
        "Q-SNN, EDE": qsnn("ede"),
        "IM-SNN, 4 bits": (presets.imsnn(4), TETLoss(0.05)),
    }
    for seed in options.seeds:
        for name, way in ways.items():
            for init in ("torch", "kaiming_fan_out"):
                loss, accuracy = train(*way, init, seed, train_set, test_set)
                print(f"seed {seed}, {name}, {init}: loss {loss:.3f}, {accuracy:.2f} %", flush=True)


if __name__ == "__main__":
    main()
