"""`qsnn export`: the trained network of a recipe as integers, as a file or as C."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from pathlib import Path

from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import RecipeError, ToolParser, tool_status

_EPILOG = """
The float network and the integers are run side by side on the test data first; what differs is
printed. docs/deploy.md goes from a trained recipe to a program in C.

example: qsnn export -c recipes/spquant_vgg9.yaml -c recipes/overlays/embedded.yaml
         --ckpt_path last --to c --out vgg9
"""


def main(words: list[str]) -> int:
    """Export; 0: done, 1: data are missing or broken, 2: what was asked cannot be."""
    return tool_status(lambda: _main(words))


def _main(words: list[str]) -> None:
    options, others = _parser().parse_known_args(words)
    # before anything heavy is imported
    recipes = Composition.of(others)
    if options.batches is not None and options.batches < 1:
        raise RecipeError(f"--batches={options.batches} is not allowed: give an integer from 1")
    out = Path(options.out)
    if out.is_file():
        raise RecipeError(f"--out: {out} is a file; give a folder")
    from qsnn_plugins.cli.exporting import export

    print(export(recipes, options.ckpt_path, options.to, out, options.batches))


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="qsnn export",
        usage="qsnn export -c RECIPE [-c OVERLAY] --ckpt_path FILE --to c|safetensors --out DIR",
        description="Turn a trained network into one of integers.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--ckpt_path", required=True, metavar="FILE", help="checkpoint, or `last`")
    parser.add_argument("--to", choices=("c", "safetensors"), required=True, help="what is written")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write into")
    parser.add_argument(
        "--batches", type=int, metavar="N", help="test batches to verify on (default: all)"
    )
    return parser
