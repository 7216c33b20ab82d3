"""`qsnn export`: the trained network of a recipe as integers, as a file or as C."""

from __future__ import annotations

import os
from argparse import RawDescriptionHelpFormatter

from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import RecipeError, ToolParser, tool_status
from qsnn_plugins.files import checked_path
from qsnn_plugins.progress import phase

_EPILOG = """
Before anything is written, the float network and the integer network run side by side on the test
data, and all differences between them are printed. docs/deploy.md shows every step from a trained
recipe to a C program.

example:
  qsnn export -c recipes/spquant_vgg9.yaml -c recipes/overlays/embedded.yaml --ckpt_path last \\
      --to c --out vgg9
"""


def main(words: list[str]) -> int:
    """Export; 0: done, 1: data are missing or broken, 2: what was asked cannot be."""
    return tool_status(lambda: _main(words), words)


def _main(words: list[str]) -> None:
    options, others = _parser().parse_known_args(words)
    # before anything heavy is imported
    recipes = Composition.of(others)
    if options.batches is not None and options.batches < 1:
        raise RecipeError(f"--batches={options.batches} is not allowed: give an integer from 1")
    if options.prefix is not None and options.to != "c":
        raise RecipeError(f"--prefix={options.prefix} is not allowed: give it with --to c only")
    out = checked_path("--out", options.out)
    for folder in (out, *out.parents):
        if os.path.exists(folder) and not os.path.isdir(folder):
            raise RecipeError(f"--out: {folder} is a file, not a folder")
    with phase(f"exporting {recipes.name}"):
        from qsnn_plugins.cli.exporting import export

        prefix = "qsnn" if options.prefix is None else options.prefix
        done = export(recipes, options.ckpt_path, options.to, out, options.batches, prefix)
    print(done)


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="qsnn export",
        usage="qsnn export -c RECIPE [-c OVERLAY ...] --ckpt_path FILE --to c|safetensors "
        "--out DIR [--prefix NAME] [--batches N]",
        description="Write a trained network as one that computes with integers only.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--ckpt_path", required=True, metavar="FILE", help="a checkpoint, or `last`"
    )
    parser.add_argument("--to", choices=("c", "safetensors"), required=True, help="format to write")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write into")
    parser.add_argument(
        "--prefix",
        metavar="NAME",
        help="what the names in C begin with, for several networks in one program (default: qsnn)",
    )
    parser.add_argument(
        "--batches",
        type=int,
        metavar="N",
        help="batches of evenly spaced test samples to compare on (default: all)",
    )
    return parser
