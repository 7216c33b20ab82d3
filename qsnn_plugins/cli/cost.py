"""`qsnn cost`: what the network of a recipe costs, as a table or as JSON."""

from __future__ import annotations

import json
from argparse import RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import ToolParser, tool_status
from qsnn_plugins.cli.inputs import check_checkpoint, load_yaml
from qsnn_plugins.errors import ArgumentError, UnknownOptionError
from qsnn_plugins.progress import phase

if TYPE_CHECKING:
    from qsnn_plugins.cost import EnergyTable

_EPILOG = """
Operations and energy depend on firing rates, which are never assumed: they are printed as unknown
unless --rates, --ckpt_path or --noise says where the rates come from. --ckpt_changes=allow accepts
a checkpoint that was trained with another spec. As with `qsnn fit`, any value of the recipe can be
set with --KEY=VALUE. docs/cost.md explains every convention.

examples:
  qsnn cost -c recipes/spquant_vgg9.yaml --rates 0.1
  qsnn cost -c recipes/spquant_vgg9.yaml --json
"""


_ENERGY = "bitnet_7nm"


def main(words: list[str]) -> int:
    """Print the account; 0: done, 1: data are missing or broken, 2: what was asked cannot be."""
    return tool_status(lambda: _main(words), words)


def _main(words: list[str]) -> None:
    options, others = _parser().parse_known_args(words)
    # before anything heavy is imported
    recipes = Composition.of(others)
    check_checkpoint(options.ckpt_path)
    recipes.check_needs(options.ckpt_path)
    from qsnn_plugins.cost import memory_convention

    memory_convention(options.convention)
    energy, shape = _energies(options.energy or _ENERGY), _shape(options.input_shape)
    for name in ("spatial", "channel"):
        if options.rates is None and getattr(options, name) is not None:
            raise ArgumentError(name, getattr(options, name), "it together with --rates")
    if options.batches is not None and options.ckpt_path is None:
        raise ArgumentError("batches", options.batches, "it together with --ckpt_path")
    if options.energy and options.rates is None and not (options.ckpt_path or options.noise):
        allowed = "it together with --rates, --ckpt_path or --noise, on which energy depends"
        raise ArgumentError("energy", options.energy, allowed)
    with phase(f"counting the network of {recipes.name}"):
        from qsnn_plugins.cli.accounting import account
        from qsnn_plugins.cost import cost_table

        name, cost = account(options, recipes, shape)
    if options.json:
        print(json.dumps({"recipe": name} | cost.to_dict(options.convention, energy), indent=2))
        return
    from rich.console import Console

    Console().print(cost_table(cost, options.convention, energy))


def _energies(table: str) -> EnergyTable:
    """Look up a table of energies, or read one from a YAML file.

    Raises:
        ArgumentError: If there is no such table, or the file does not hold one.
    """
    from qsnn_plugins.cost import EnergyTable, OperationEnergy, energy_table

    file = Path(table)
    if not file.is_file():
        if file.suffix in (".yaml", ".yml"):
            raise ArgumentError("energy", table, "a YAML file that exists, or a table by name")
        return energy_table(table)
    try:
        content = load_yaml(file.read_text("utf-8"))
        rows = {key: OperationEnergy(**content.pop(key)) for key in ("int8", "float32")}
        read = EnergyTable(str(content.pop("source")), **rows)
    except (yaml.YAMLError, UnicodeDecodeError, LookupError, TypeError, AttributeError) as error:
        allowed = "a YAML file with source, and add and multiply (pJ) of int8 and of float32"
        raise ArgumentError("energy", table, allowed) from error
    except ArgumentError as error:
        allowed = f"a YAML file whose {error.argument} is {error.allowed}, not {error.value!r}"
        raise ArgumentError("energy", table, allowed) from error
    for key in content:
        raise UnknownOptionError(f"--energy: {table}", key, "source, int8 and float32")
    return read


def _shape(text: str | None) -> tuple[int, ...] | None:
    """Read a shape, such as 10,1,2,48,48."""
    if text is None:
        return None
    try:
        shape = tuple(int(size) for size in text.split(","))
    except ValueError:
        shape = (0,)
    if min(shape) < 1:
        raise ArgumentError("input_shape", text, "integers from 1, as in 10,1,2,48,48")
    return shape


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="qsnn cost",
        usage="qsnn cost -c RECIPE [-c OVERLAY ...] [options]",
        description="Print memory, operations and energy of a recipe's network for one sample.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON, with exact numbers of bytes"
    )
    parser.add_argument(
        "--convention",
        default="chip",
        help="how memory is counted, see docs/cost.md (default: chip)",
    )
    parser.add_argument(
        "--energy",
        metavar="TABLE",
        help=f"energy of each operation: {_ENERGY} (default), bitnet_45nm or a YAML file",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--rates", type=float, metavar="R", help="assume this firing rate for all neurons"
    )
    source.add_argument(
        "--ckpt_path",
        metavar="FILE",
        help="measure rates on test data with this checkpoint, or `last`",
    )
    source.add_argument(
        "--noise",
        action="store_true",
        help="measure rates of the untrained network on random input",
    )
    parser.add_argument(
        "--spatial", type=float, metavar="S", help="with --rates: share of masked neurons"
    )
    parser.add_argument(
        "--channel", type=float, metavar="S", help="with --rates: share of masked channels"
    )
    parser.add_argument(
        "--batches",
        type=int,
        metavar="N",
        help="with --ckpt_path: batches of evenly spaced test samples to measure on (default: 4)",
    )
    parser.add_argument(
        "--input_shape",
        metavar="T,1,...",
        help="shape of one input sample, if the data module does not know it",
    )
    parser.add_argument(
        "--full_precision", action="store_true", help="allow a network without any quantization"
    )
    return parser
