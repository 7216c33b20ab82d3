"""The papers' networks that no host has, over time-major input [T, N, C, H, W]."""

from qsnn_plugins.models.string_net import StringNet, parse_layers

__all__ = ["StringNet", "parse_layers"]
