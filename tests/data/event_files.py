"""Event files: where real ones lie, and bytes written without the code that reads them."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).parents[3] / "shared" / "data"
REAL = SHARED / "event_files"
NMNIST = SHARED / "nmnist" / "nmnist_1000_100.tar.xz"

needs_real = pytest.mark.skipif(not REAL.exists(), reason=f"real recordings are not at {REAL}")
needs_nmnist = pytest.mark.skipif(not NMNIST.exists(), reason=f"N-MNIST is not at {NMNIST}")


def atis(*events):
    """Return the bytes of (x, y, t, p) in the format of N-MNIST."""
    return b"".join(
        bytes([x, y, p << 7 | t >> 16, t >> 8 & 0xFF, t & 0xFF]) for x, y, t, p in events
    )


def dat(*events, header=b"% Data file\n% Version 2\n", kind=b"\0\x08"):
    """Return the bytes of (x, y, t, p) in a .dat file of Prophesee."""
    words = [(t, p << 28 | y << 14 | x) for x, y, t, p in events]
    return header + kind + np.array(words, dtype="<u4").tobytes()


def nmnist_files(folder, every):
    """Unpack every so many-th recording of N-MNIST, and return the paths."""
    with tarfile.open(NMNIST) as archive:
        members = [member for member in archive if member.name.endswith(".bin")][::every]
        archive.extractall(folder, members=members, filter="data")
    return [Path(folder) / member.name for member in members]


def same_events(ours, theirs):
    """Assert that both have the same events in the same order."""
    assert len(ours) == len(theirs)
    for field in "xyt":
        np.testing.assert_array_equal(ours[field], theirs[field])
    np.testing.assert_array_equal(ours["p"], theirs["p"] != 0)
