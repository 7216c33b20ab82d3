"""Networks name an argument of another type, and those built of numpy's numbers can be saved."""

import math

import numpy as np
import pytest

from qsnn_plugins import QuantSpec, load, presets, save
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import ResidualNet, StringNet, string_net
from qsnn_plugins.spikingjelly.networks import build_network

GIVEN = {
    StringNet: {"layers": "4C3-FC3", "input_size": (4, 4)},
    ResidualNet: {"depth": 20, "width": 0.1},
    string_net: {"name": "vgg7"},
    build_network: {"name": "spikformer_2_384", "classes": 10},
}


@pytest.mark.parametrize(
    ("build", "argument", "value"),
    [
        (StringNet, "layers", None),
        (StringNet, "in_channels", "2"),
        (StringNet, "in_channels", 2.5),
        (StringNet, "input_size", 4),
        (StringNet, "input_size", (2, 4, 4)),
        (StringNet, "input_size", (4.0, 4.0)),
        (StringNet, "width", "2"),
        (StringNet, "width", math.inf),
        (StringNet, "conv_bias", "no"),
        (StringNet, "linear_bias", 0),
        (ResidualNet, "classes", "10"),
        (ResidualNet, "classes", True),
        (ResidualNet, "stem_channels", 2.5),
        (ResidualNet, "hidden_features", "8"),
        (ResidualNet, "width", math.inf),
        (string_net, "name", ["vgg7"]),
        (string_net, "classes", "10"),
        (build_network, "classes", 2.5),
        (build_network, "input_size", 32),
        (build_network, "width", math.nan),
    ],
)
def test_an_argument_of_another_type_is_named(build, argument, value):
    with pytest.raises(ArgumentError) as error:
        build(**{**GIVEN[build], argument: value})
    assert str(error.value).startswith(f"{argument}={value!r} is not allowed: give ")


@pytest.mark.parametrize("size", [(np.int64(4), np.int64(5)), np.array([4, 5])])
def test_a_network_that_was_built_of_numpys_numbers_can_be_saved(tmp_path, size):
    network = StringNet("8C3-FC3", np.int64(1), size, width=np.float32(0.5))
    save(network, tmp_path / "network.safetensors")
    loaded = load(tmp_path / "network.safetensors")
    assert str(loaded) == str(network)
    assert loaded.init_args == {**network.init_args, "input_size": (4, 5)}


@pytest.mark.parametrize("spec", ["imsnn", {"preset": "imsnn"}, {}, None])
def test_the_spec_of_a_network_is_a_spec_whatever_names_it(spec):
    assert StringNet("GAP-FC2", spec=spec).spec == (presets.imsnn() if spec else QuantSpec())
    with pytest.raises(ArgumentError, match=r"^spec='' is not allowed"):
        StringNet("GAP-FC2", spec="")
