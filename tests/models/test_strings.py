"""The networks that have names: counts against the papers, and the classes that one asks for."""

import pytest
import torch
from torch import nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import NETWORK_STRINGS, StringNet, string_net
from tests.models.counts import FLOAT, count

# conv weights, conv biases, normalization, linear weights, linear biases, neurons
COUNTS = {
    "vggsnn": (9_217_152, 2_752, 5_504, 46_080, 10, 921_600),
    "vgg16_cifar": (14_710_464, 0, 8_448, 5_120, 10, 276_480),
    "vgg16_tiny_imagenet": (14_710_464, 0, 8_448, 409_600, 200, 1_105_920),
    "vgg9_mint": (1_734_336, 0, 0, 2_560, 10, 245_760),
}
MACS = {  # in G
    "vggsnn": 1.362,
    "vgg16_cifar": 0.313,
    "vgg16_tiny_imagenet": 1.253,
    "vgg9_mint": 0.19,
}


def counts(name, **changes):
    size = changes.get("input_size", NETWORK_STRINGS[name].input_size)
    return count(lambda: string_net(name, spec=FLOAT, **changes), size)


@pytest.mark.parametrize("name", COUNTS)
def test_a_network_has_the_papers_counts(name):
    c = counts(name)
    found = (c.conv, c.conv_bias, c.norm, c.linear, c.linear_bias, c.neurons)
    assert found == COUNTS[name]
    assert c.total == sum(COUNTS[name][:5])
    places = 2 if name == "vgg9_mint" else 3
    assert round(c.macs / 1e9, places) == MACS[name]


def test_the_counts_notice_another_network():
    assert counts("vggsnn", in_channels=3).conv != COUNTS["vggsnn"][0]
    assert counts("vggsnn", input_size=(64, 64)).neurons != COUNTS["vggsnn"][5]
    assert counts("vgg9_mint", normalized="convolutions").norm != COUNTS["vgg9_mint"][2]


def test_the_three_readings_of_vgg9():
    printed, table, released = (
        counts(f"vgg9_{name}") for name in ("printed_size", "table4", "released")
    )
    synapses = printed.conv + printed.conv_bias + printed.linear + printed.linear_bias
    assert f"{synapses * 4 / 1e6:.2f}" == "41.12"
    assert (printed.neurons - 1024) * 4 == 3_686_400  # "3.68 MB": those of the convolutions
    assert round((table.conv + table.linear) / 1e6, 2) == 14.03
    assert round((released.conv + released.linear) / 1e6, 2) == 9.26
    assert released.conv - counts("vggsnn").conv == 64 * 9, "one more input channel"


def test_the_detectors_weights():
    """IM-SNN Table VII prints 103.46 MB of float weights and 12.93 MB of 4-bit ones."""
    printed, table = counts("yolov2_printed_size"), counts("yolov2_table4")
    weights = printed.conv + printed.linear
    assert weights == 25_864_768
    assert f"{weights * 4 / 1e6:.2f}" == "103.46"
    assert f"{weights / 2 / 1e6:.2f}" == "12.93"
    assert printed.neurons == 6_595_456
    assert counts("yolov2_printed_size", input_size=(223, 287)).linear == printed.linear
    assert table.conv + table.linear == 17_607_232, "Table IV's string is another network"
    membranes = counts("yolov2_table4", input_size=(416, 416)).neurons - 512
    assert int(membranes * 4 / 1e4) == 5987, "but has the printed 59.87 MB, in its convolutions"


def test_the_third_papers_sizes():
    dvs, caltech = counts("plif"), counts("plif", classes=101, input_size=(180, 240))
    assert (dvs.conv + dvs.linear, dvs.norm) == (1_691_904, 1_280)
    assert dvs.total == 1_691_904 + 1_280
    assert f"{dvs.total * 4 / 2**20:.2f}" == "6.46"
    assert f"{caltech.total * 4 / 2**20:.2f}" == "12.99"
    gesture = counts("plif", classes=11)
    assert f"{gesture.total * 4 / 2**20:.2f}" == "6.48"
    assert counts("plif", input_size=(34, 34)).conv + 128 * 512 + 512 * 100 == 708_864
    assert counts("decolle").conv == 1_210_496  # 4.84 MB


@pytest.mark.parametrize(
    ("name", "classes", "end"),
    [("plif", 11, "FC512-FC110-AP10"), ("plif", 101, "FC1010-AP10"), ("vgg7", 4, "AP2-FC4")],
)
def test_other_classes_change_the_last_linear_layer_alone(name, classes, end):
    layers = NETWORK_STRINGS[name].with_classes(classes)
    assert layers.endswith(end)
    assert layers.startswith(NETWORK_STRINGS[name].layers.rpartition("-FC")[0])
    with torch.device("meta"):
        assert string_net(name, classes=classes).out_channels == classes


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(ArgumentError, match=r"name='vgg5'.*vgg7.*plif"):
        string_net("vgg5")
    with pytest.raises(ArgumentError, match="classes=0"):
        string_net("vgg7", classes=0)


def test_voting_averages_the_spikes_of_each_classs_neurons():
    torch.manual_seed(0)
    network = StringNet("(4C3-MP2)x2-FC12-FC6-AP3", input_size=(8, 8), spec=FLOAT)
    spikes = []
    network.blocks.fc2.register_forward_hook(lambda _, __, y: spikes.append(y))
    votes = network(4 * torch.rand(3, 2, 2, 8, 8))
    assert votes.shape == (3, 2, 2)
    assert set(spikes[0].unique().tolist()) == {0.0, 1.0}
    for k in range(2):
        assert torch.allclose(votes[..., k], spikes[0][..., 3 * k : 3 * k + 3].mean(-1))


def test_votes_that_do_not_come_out_even_are_refused():
    with pytest.raises(ArgumentError, match=r"'AP4'.*divisor of the 6 outputs"):
        StringNet("4C3-GAP-FC6-AP4")


def test_what_is_normalized_and_what_has_a_bias():
    kinds = {
        "all": (nn.BatchNorm2d, nn.BatchNorm1d),
        "convolutions": (nn.BatchNorm2d,),
        "none": (),
    }
    for normalized, expected in kinds.items():
        network = StringNet(
            "4C3-GAP-FC6-FC3", normalized=normalized, conv_bias=False, linear_bias=False
        )
        norms = [
            type(m) for m in network.modules() if isinstance(m, nn.modules.batchnorm._NormBase)
        ]
        assert tuple(norms) == expected
        assert sum(name.endswith("bias") for name, _ in network.named_parameters()) == len(norms)
    with pytest.raises(ArgumentError, match="normalized='some'"):
        StringNet("4C3-GAP-FC3", normalized="some")


def test_a_narrow_network_keeps_its_depth_and_its_classes():
    narrow = string_net("plif", input_size=(32, 32), width=0.25)
    channels = [
        m.out_features if isinstance(m, nn.Linear) else m.out_channels
        for m in narrow.modules()
        if isinstance(m, nn.Conv2d | nn.Linear)
    ]
    assert channels == [32] * 5 + [128, 100]
    assert narrow.out_channels == 10
    same = StringNet("16C3-32C3-AP2-64C3x2-AP2-128C3x2-AP2-256C3-GAP-FC256-FC10")
    assert str(string_net("vgg9_printed_size", width=0.25)) == str(same)
    with pytest.raises(ArgumentError, match="width=0"):
        string_net("vgg7", width=0)
