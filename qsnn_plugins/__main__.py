"""`python -m qsnn_plugins` is the `qsnn` command."""

import sys

from qsnn_plugins.cli import qsnn

if __name__ == "__main__":
    sys.exit(qsnn())
