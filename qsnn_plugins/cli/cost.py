"""`qsnn cost`: what the network of a recipe costs, as a table or as JSON."""

from __future__ import annotations

import json

from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import ToolParser, tool_status

_EPILOG = """
Firing rates are never assumed: without --rates, --ckpt_path or --noise, what depends on them is
unknown. Any value of the recipe can be set behind it, as with `qsnn fit`. docs/cost.md states every
convention.
"""


def main(words: list[str]) -> int:
    """Print the account; 0: done, 1: data are missing or broken, 2: what was asked cannot be."""
    return tool_status(lambda: _main(words))


def _main(words: list[str]) -> None:
    options, others = _parser().parse_known_args(words)
    # before anything heavy is imported
    recipes = Composition.of(others)
    from qsnn_plugins.cli.accounting import account, energies
    from qsnn_plugins.cost import cost_table, memory_convention

    memory_convention(options.convention)
    energy = energies(options.energy)
    name, cost = account(options, recipes)
    if options.json:
        print(json.dumps({"recipe": name} | cost.to_dict(options.convention, energy), indent=2))
        return
    from rich.console import Console

    Console().print(cost_table(cost, options.convention, energy))


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="qsnn cost",
        usage="qsnn cost -c RECIPE [-c OVERLAY] [options]",
        description="What the network of a recipe costs for one sample.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print JSON, bytes as integers")
    parser.add_argument(
        "--convention", default="chip", help="convention of counting memory (default: chip)"
    )
    parser.add_argument(
        "--energy",
        default="bitnet_7nm",
        metavar="TABLE",
        help="energies of operations: bitnet_7nm, bitnet_45nm, or a YAML file (see docs/cost.md)",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--rates", type=float, metavar="R", help="firing rate of every neuron")
    source.add_argument(
        "--ckpt_path", metavar="FILE", help="measure rates with this checkpoint, or `last`, on data"
    )
    source.add_argument(
        "--noise", action="store_true", help="measure rates of the untrained network on noise"
    )
    parser.add_argument("--spatial", type=float, metavar="S", help="with --rates: masked neurons")
    parser.add_argument("--channel", type=float, metavar="S", help="with --rates: masked channels")
    parser.add_argument(
        "--batches", type=int, default=4, metavar="N", help="batches to measure on (default: 4)"
    )
    parser.add_argument(
        "--input_shape", metavar="T,1,...", help="input of one sample, where the data do not say it"
    )
    parser.add_argument(
        "--full_precision", action="store_true", help="count a network that quantizes nothing too"
    )
    return parser
