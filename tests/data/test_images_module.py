"""Images in files: whole ones, damaged ones and bombs."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from qsnn_plugins.data.images_module import ImageFiles
from qsnn_plugins.errors import DataError


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, rows=b""):
    """Return a grey image whose header may promise more than its rows hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def read(path, raw):
    path.write_bytes(raw)
    return ImageFiles([(path, 3)])[0]


def test_an_image_comes_in_colour(tmp_path):
    image, label = read(tmp_path / "1.png", png(2, 1, b"\0\x10\x20"))
    assert (image.mode, np.asarray(image).tolist(), label) == ("RGB", [[[16] * 3, [32] * 3]], 3)


@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (40_000, 40_000), (9_000, 9_000)])
def test_a_bomb_is_refused_before_it_is_opened(tmp_path, size):
    with pytest.raises(DataError, match=r"1\.png cannot be read as an image: "):
        read(tmp_path / "1.png", png(*size))


def test_an_image_that_resizing_blows_up_is_refused(tmp_path):
    """Its shorter side is one pixel, which 256 would make 256 x 15 million pixels."""
    with pytest.raises(DataError, match=r"cannot be read as an image: 60000 x 1 pixels"):
        read(tmp_path / "1.png", png(60_000, 1, bytes(60_001)))


@pytest.mark.parametrize(
    "raw", [b"", b"\xff\xd8 no image", b"%!PS-Adobe EPSF\n%%BoundingBox: 0 0 9 9\n"]
)
def test_what_is_no_image_is_refused(tmp_path, raw):
    with pytest.raises(DataError, match=r"1\.JPEG cannot be read as an image"):
        read(tmp_path / "1.JPEG", raw)


def test_other_formats_are_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "1.gif")
    with pytest.raises(DataError, match="cannot be read as an image"):
        ImageFiles([(tmp_path / "1.gif", 0)])[0]
    with pytest.raises(DataError, match="No such file"):
        ImageFiles([(tmp_path / "2.png", 0)])[0]


@pytest.mark.slow
def test_a_broken_image_is_one_sentence_from_a_process_that_loads_it(tmp_path):
    (tmp_path / "1.png").write_bytes(b"no image")
    loader = DataLoader(ImageFiles([(tmp_path / "1.png", 0)]), num_workers=1)
    with pytest.raises(DataError) as raised:
        next(iter(loader))
    message = str(raised.value)
    assert message.startswith(f"{tmp_path / '1.png'} cannot be read as an image: ")
    assert "\n" not in message
