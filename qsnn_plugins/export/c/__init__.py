"""Integer networks as C99: tables, layers as loops over them, and memory planned beforehand."""

from qsnn_plugins.export.c.write import write_c

__all__ = ["write_c"]
