"""Low-bit spiking networks as plugins for SpikingJelly and snnTorch.

Importing this package is cheap: what needs torch, a host or Lightning is imported when its
module is (`qsnn_plugins.functional`, `qsnn_plugins.spikingjelly`, ...).
"""

__version__ = "0.1.0"
