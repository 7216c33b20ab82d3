"""Networks of the papers that are in neither host, for time-major input [T, N, C, H, W]."""

from qsnn_plugins.models.hosted import HostedNet
from qsnn_plugins.models.layers import parse_layers
from qsnn_plugins.models.residual import ResidualBlock, ResidualNet
from qsnn_plugins.models.string_net import StringNet
from qsnn_plugins.models.strings import NETWORK_STRINGS, NetworkString, string_net
from qsnn_plugins.models.time_major import TimeDistributed, TimeMajorNet, begin_wide

__all__ = [
    "NETWORK_STRINGS",
    "HostedNet",
    "NetworkString",
    "ResidualBlock",
    "ResidualNet",
    "StringNet",
    "TimeDistributed",
    "TimeMajorNet",
    "begin_wide",
    "parse_layers",
    "string_net",
]
