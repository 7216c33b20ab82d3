import pytest

from qsnn_plugins.plot.names import short_names


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["a.conv1.lif", "a.conv2.lif"], ["conv1", "conv2"]),
        (["a.b.0", "a.c.0.d"], ["b.0", "c.0.d"]),
        (["lif", "lif2"], ["lif", "lif2"]),
        (["a.lif", "a.lif.x"], ["lif", "lif.x"]),
        (["only.one"], ["only.one"]),
        ([], []),
    ],
)
def test_names_lose_what_they_share(names, short):
    assert short_names(names) == short
