"""Loops of windows in C: indices that step, and no product."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Window"]

_AXES = ("z", "y", "x")


@dataclass(frozen=True)
class Window:
    """Loops of windows over an image of up to three dimensions."""

    takes: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    gives: tuple[int, ...]

    @property
    def _axes(self) -> list[tuple[str, int]]:
        names = _AXES[len(_AXES) - len(self.takes) :]
        return [(name, math.prod(self.takes[i + 1 :])) for i, name in enumerate(names)]

    def pixels(self, start: str, at: str) -> tuple[str, str]:
        """Return loops over what it gives; `at` is where the window's first element would be."""
        opened = ""
        for (axis, step), pad, stride, count in zip(
            self._axes, self.padding, self.stride, self.gives, strict=True
        ):
            first = f"{start} - {pad * step}" if pad else start
            opened += (
                f"for (int32_t {axis} = {-pad}, at_{axis} = {first};"
                f" {axis} < {-pad + stride * count};"
                f" {axis} += {stride}, at_{axis} += {stride * step}) {{\n"
            )
            start = f"at_{axis}"
        if not self.takes:
            return f"{{\nint32_t {at} = {start};\n", "}\n"
        return f"{opened}int32_t {at} = {start};\n", "}\n" * len(self.takes)

    def taps(self, start: str, skipped: str) -> tuple[str, str, str]:
        """Return loops over a window that skip what is outside, and the name of the place."""
        opened, outside = "", []
        for (axis, step), kernel, dilation, pad, size in zip(
            self._axes, self.kernel, self.dilation, self.padding, self.takes, strict=True
        ):
            opened += (
                f"for (int32_t k{axis} = {axis}, at_k{axis} = {start};"
                f" k{axis} < {axis} + {kernel * dilation};"
                f" k{axis} += {dilation}, at_k{axis} += {dilation * step}) {{\n"
            )
            start = f"at_k{axis}"
            if pad:
                outside.append(f"(uint32_t)k{axis} >= {size}u")
        if outside:
            skip = f"{skipped}\n" if skipped else ""
            opened += f"if ({' || '.join(outside)}) {{\n{skip}continue;\n}}\n"
        return opened, "}\n" * len(self.takes), start
