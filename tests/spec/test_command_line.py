"""What jsonargparse makes of specs: only what was given is given, and quantizers by class_path."""

import pytest
import yaml
from jsonargparse import ArgumentParser

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec import MembraneSpec, QuantSpec, SpikeSpec, WeightSpec


class Network:
    def __init__(self, spec: QuantSpec | None = None) -> None:
        self.spec = spec or QuantSpec()


def parse(spec, *arguments):
    """Return the spec of YAML and arguments, and the YAML that it is dumped as."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Network, "net")
    parser.add_argument("--config", action="config")
    config = parser.parse_args([f"--config={yaml.safe_dump({'net': {'spec': spec}})}", *arguments])
    return parser.instantiate(config).net.spec, yaml.safe_load(parser.dump(config))["net"]["spec"]


CUSTOM = {"kind": "custom", "class_path": "my_package.Mine", "init_args": {"bits": 3, "of": [1]}}


@pytest.mark.parametrize(
    ("values", "spec"),
    [
        ({}, QuantSpec()),
        ({"membrane": {"kind": "float"}}, QuantSpec.full_precision()),
        (
            {"membrane": {"kind": "uniform", "bits": 4}, "spike": {"bits": 2}},
            QuantSpec(MembraneSpec(kind="uniform", bits=4), SpikeSpec(bits=2)),
        ),
        (
            {"weight": {"kind": "binary", "fidelity": "released"}},
            QuantSpec(weight=WeightSpec(kind="binary", fidelity="released")),
        ),
        (
            {"membrane": CUSTOM, "weight": CUSTOM},
            QuantSpec(
                MembraneSpec(class_path="my_package.Mine", init_args=CUSTOM["init_args"]),
                weight=WeightSpec(class_path="my_package.Mine", init_args=CUSTOM["init_args"]),
            ),
        ),
    ],
)
def test_yaml_is_parsed_dumped_and_read_again(values, spec):
    parsed, dumped = parse(values)
    assert parsed == spec
    assert {part: options for part, options in dumped.items() if options} == values
    assert parse(dumped)[0] == spec
    assert parse(spec.to_dict())[0] == spec


def test_the_command_line_changes_single_options():
    spec, _ = parse({"membrane": {"kind": "uniform", "bits": 4}}, "--net.spec.membrane.bits=3")
    assert spec.membrane == MembraneSpec(kind="uniform", bits=3)
    assert parse({}, "--net.spec.membrane.kind=float")[0] == QuantSpec.full_precision()


@pytest.mark.parametrize(
    ("values", "arguments"),
    [
        ({"membrane": {"bits": 4}}, []),
        ({"membrane": {"levels": [-1, 0, 1]}}, ["--net.spec.membrane.bits=4"]),
        ({}, ["--net.spec.membrane.bits=4"]),
    ],
)
def test_what_is_not_read_is_refused(values, arguments):
    with pytest.raises((ArgumentError, ValueError), match=r"membrane\.bits=4 is not allowed"):
        parse(values, *arguments)
