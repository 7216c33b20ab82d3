"""The networks are built from a recipe's plain values."""

import pytest
from jsonargparse import ArgumentParser
from torch import nn

from qsnn_plugins.models import ResidualNet, StringNet


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("ResidualNet", {"depth": 20, "width": 0.25, "stem": "small"}, ResidualNet),
        ("StringNet", {"layers": "(4C3-MP2)x2-GAP-FC20-AP10"}, StringNet),
        ("string_net", {"name": "plif", "classes": 11, "input_size": [32, 32]}, StringNet),
    ],
)
def test_a_network_is_built_from_yaml(name, values, kind):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=nn.Module)
    spec = {"weight": {"kind": "power_of_two", "bits": 4}}
    config = parser.parse_object(
        {
            "network": {
                "class_path": f"qsnn_plugins.models.{name}",
                "init_args": values | {"spec": spec},
            }
        }
    )
    network = parser.instantiate_classes(config).network
    assert type(network) is kind
    assert network.spec.weight.kind == "power_of_two"
