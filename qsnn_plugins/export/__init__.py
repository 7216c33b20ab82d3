"""Export of trained networks as integer-only networks."""

from qsnn_plugins.export.convert import to_integer
from qsnn_plugins.export.integer import IntegerNetwork, load
from qsnn_plugins.export.verify import Verification, verify

__all__ = ["IntegerNetwork", "Verification", "load", "to_integer", "verify"]
