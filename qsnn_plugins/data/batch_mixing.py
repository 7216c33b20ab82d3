"""Mixup and CutMix of training batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import CutMix, MixUp

from qsnn_plugins.data.checks import at_least, probability
from qsnn_plugins.data.transformed import drawing_from
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec.checks import number


@dataclass(frozen=True)
class BatchMixing:
    r"""Mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019) of a batch, by torchvision.

    A share λ is drawn from Beta(α, α) for the whole batch; each sample is mixed with the one before
    it, the first with the last:

        x_i <- λ x_i + (1 - λ) x_{i-1},    y_i <- λ y_i + (1 - λ) y_{i-1}    with y one-hot

    CutMix instead replaces a rectangle by that of the other sample, and λ is the share of the
    remaining pixels. All steps of a recording are mixed in the same way.

    Args:
        mixup: α of mixup; 0 for no mixup.
        cutmix: α of CutMix; 0 for no CutMix.
        probability: Probability that a batch is mixed.
        cutmix_share: Probability of CutMix for a mixed batch; to be set only if both are used.
        until_epoch: The first epoch without mixing, from 0; None for no end.

    Raises:
        ArgumentError: A setting is out of its range.

    Example:
        >>> images, labels = torch.eye(2).reshape(2, 1, 1, 2), torch.tensor([0, 1])
        >>> mixed, soft = BatchMixing()(images, labels, classes=2, epoch=0)
        >>> mixed.shape, soft.shape, torch.equal(mixed.flatten(1), soft)
        (torch.Size([2, 1, 1, 2]), torch.Size([2, 2]), True)
        >>> _, hard = BatchMixing(until_epoch=200)(images, labels, classes=2, epoch=200)
        >>> hard
        tensor([0, 1])
    """

    mixup: float = 0.5
    cutmix: float = 0.0
    probability: float = 1.0
    cutmix_share: float = 0.5
    until_epoch: int | None = None

    def __post_init__(self) -> None:
        for name in ("mixup", "cutmix"):
            number("a finite number from 0", lambda given: given >= 0)(name, getattr(self, name))
        if self.mixup == self.cutmix == 0:
            raise ArgumentError("mixup", self.mixup, "a number above 0 where cutmix is 0")
        probability("probability", self.probability)
        probability("cutmix_share", self.cutmix_share)
        default = type(self).cutmix_share
        if self.cutmix_share != default and not (self.mixup and self.cutmix):
            allowed = f"{default}, or both mixup and cutmix above 0"
            raise ArgumentError("cutmix_share", self.cutmix_share, allowed)
        if self.until_epoch is not None:
            at_least("until_epoch", self.until_epoch, 0)

    def __call__(
        self,
        frames: Tensor,
        labels: Tensor,
        classes: int,
        epoch: int,
        batch: int = 0,
        process: int = 0,
        seed: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """Return the batch mixed, with soft labels [N, K], or as it is, with its labels.

        The random values depend only on the last four arguments.

        Args:
            frames: Recordings [N, T, C, H, W] or images [N, C, H, W]; counts become float32.
            labels: Classes 0..K-1, int64 [N].
            classes: K.
            epoch: Number of the epoch, from 0.
            batch: Number of the batch in it, from 0.
            process: Which of several processes this is, from 0.
            seed: Seed of the draws, from 0.

        Raises:
            ArgumentError: `frames` has another form.
        """
        if frames.dim() not in (4, 5):
            allowed = "[N, T, C, H, W] or [N, C, H, W]"
            raise ArgumentError("frames.shape", list(frames.shape), allowed)
        if self.until_epoch is not None and epoch >= self.until_epoch:
            return frames, labels
        # items draw from (seed, epoch, index), and zeros at a key's end do not count: hence the 1
        with drawing_from(seed, epoch, batch, process, 1), _float32_by_default():
            if torch.rand(()) >= self.probability:
                return frames, labels
            images = frames if frames.is_floating_point() else frames.float()
            mixed, soft = self._draw(classes)(images.flatten(1, -3), labels)
        return mixed.reshape(frames.shape), soft

    def _draw(self, classes: int) -> MixUp | CutMix:
        cuts = self.cutmix > 0 and (self.mixup == 0 or torch.rand(()) < self.cutmix_share)
        if cuts:
            return CutMix(alpha=float(self.cutmix), num_classes=classes)
        return MixUp(alpha=float(self.mixup), num_classes=classes)


@contextmanager
def _float32_by_default() -> Iterator[None]:
    """Draw the same in trainings of all precisions; torch's Beta distribution has no 16 bits."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
