"""Files as Prophesee ships them, written without the code that reads them."""

import struct

import numpy as np

HEADER = b"% Data file containing Event2D events.\n% Version 2\n% Height 240\n% Width 304\n"

OLDER = [
    ("ts", "<u8"), ("x", "<f4"), ("y", "<f4"), ("w", "<f4"), ("h", "<f4"),
    ("class_id", "u1"), ("confidence", "<f4"), ("track_id", "<u4"),
]  # fmt: skip
NEWER = np.dtype(
    {
        "names": ["t", "x", "y", "w", "h", "class_id", "track_id", "class_confidence"],
        "formats": ["<i8", "<f4", "<f4", "<f4", "<f4", "<u4", "<u4", "<f4"],
        "offsets": [0, 8, 12, 16, 20, 24, 28, 32],
        "itemsize": 40,
    }
)


def words(events):
    """Events (x, y, t, p) in 8 bytes each."""
    return b"".join(struct.pack("<II", t, x | y << 14 | p << 28) for x, y, t, p in events)


def write_dat(path, events):
    path.write_bytes(HEADER + bytes([0, 8]) + words(events))
    return path


def write_boxes(path, boxes, dialect=OLDER):
    """Boxes (time, left, top, width, height, class), in a dialect's own order of fields."""
    stored = np.zeros(len(boxes), dtype=dialect)
    names = stored.dtype.names
    for row, box in zip(stored, boxes, strict=True):
        for name, value in zip((names[0], "x", "y", "w", "h", "class_id"), box, strict=True):
            row[name] = value
    np.save(path, stored)
    return path


def write_recording(folder, name, events, boxes, dialect=OLDER):
    folder.mkdir(parents=True, exist_ok=True)
    write_dat(folder / f"{name}_td.dat", events)
    write_boxes(folder / f"{name}_bbox.npy", boxes, dialect)
