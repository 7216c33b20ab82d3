"""Networks that run on integers alone."""

from qsnn_plugins.export.convert import to_integer
from qsnn_plugins.export.network import IntegerNetwork

__all__ = ["IntegerNetwork", "to_integer"]
