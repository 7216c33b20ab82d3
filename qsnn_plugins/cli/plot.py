"""`qsnn plot`: the papers' figures, of a trained network or of measured results."""

from __future__ import annotations

from argparse import Namespace
from difflib import get_close_matches
from pathlib import Path

from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import RecipeError, ToolParser, tool_status
from qsnn_plugins.cli.inputs import check_checkpoint

FIGURES = {
    "clipping": "membranes below a bound that fire all the same, by layer (IM-SNN Fig. 2)",
    "negative": "negative membranes and their firing rate, by layer (IM-SNN Fig. 3)",
    "distributions": "values of weights and spikes, by layer, of networks (Q-SNN Fig. 2 and 4)",
    "rates": "firing rates by layer, of networks (bit budget Fig. 6)",
    "boxes": "one scene as detectors see it, with true and found boxes",
    "bits": "accuracy against membrane bits, from results (IM-SNN Fig. 4)",
    "memory": "accuracy against memory with the Pareto front, from results",
}
FROM_RESULTS = ("bits", "memory")
_MOST = {"clipping": 1, "negative": 1, "distributions": 4, "rates": 8, "boxes": 4}
_FOLDER = Path("runs/figures")
_USAGE = """\
qsnn plot FIGURE -c RECIPE [-c OVERLAY] --ckpt_path FILE [--label NAME] [--and -c RECIPE ...]
       qsnn plot bits|memory [-c RECIPE] [-c OVERLAY] [--and -c RECIPE ...]

Saves a figure as PNG and SVG. --ckpt_path is a file, or `last`; with
--ckpt_changes allow also one that was trained otherwise than its recipe says. Behind --and stands
a further network of the same figure, with its own recipe, checkpoint and label. Of results, those
are drawn whose commands have the given files; without -c, all. What `memory` draws has to be
measured on one data set.

figures:
"""
_EPILOG = """
Any value of a recipe can be set behind it, as with `qsnn fit`. Networks run on their test data.
"""


def main(words: list[str]) -> int:
    """Save a figure; 0: done, 1: data are missing or broken, 2: what was asked cannot be."""
    return tool_status(lambda: _main(words))


def _main(words: list[str]) -> None:
    if words and words[0].startswith("-") and words[0] not in ("-h", "--help"):
        _check(None, 0)  # else what follows an option would pass for the figure
    options, rest = _parser().parse_known_args(words)
    figure, networks = options.figure, _split(rest)
    _check(figure, len(networks) - 1)
    # before anything heavy is imported
    parsed = [
        (own, Composition.of(others))
        for own, others in (_network_parser().parse_known_args(part) for part in networks)
    ]
    if figure in FROM_RESULTS:
        from qsnn_plugins.cli.chosen_results import choose_results

        results = choose_results(options, parsed)
        from qsnn_plugins.cli.plot_results import draw_results

        drawn = draw_results(options, results)
    else:
        _check_networks(figure, [own for own, _ in parsed])
        from qsnn_plugins.cli.plot_networks import draw_networks

        drawn = draw_networks(options, parsed)
    from qsnn_plugins.plot import save_figure

    print(*save_figure(drawn, options.out or _FOLDER / figure), sep="\n")


def _split(words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "--and":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _check(figure: str | None, further: int) -> None:
    if figure is None:
        known = ", ".join(FIGURES)
        raise RecipeError(f"qsnn plot: which figure? It knows {known}; its name comes first")
    if figure not in FIGURES:
        near = get_close_matches(figure, FIGURES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(FIGURES)}"
        raise RecipeError(f"qsnn plot knows no figure {figure!r}; {hint}")
    if further >= (most := _MOST.get(figure, further + 1)):
        number = "one network" if most == 1 else f"{most} networks at most"
        raise RecipeError(f"--and: {figure} is drawn of {number}")


def _check_networks(figure: str, networks: list[Namespace]) -> None:
    if any(own.ckpt_path is None for own in networks):
        raise RecipeError(f"{figure} is measured: give each network its --ckpt_path")
    for own in networks:
        check_checkpoint(own.ckpt_path)


def _network_parser() -> ToolParser:
    parser = ToolParser(prog="qsnn plot", add_help=False, allow_abbrev=False)
    parser.add_argument("--ckpt_path")
    parser.add_argument("--label")
    return parser


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="qsnn plot",
        usage=_USAGE + "".join(f"  {name:<15}{shows}\n" for name, shows in FIGURES.items()),
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("figure", nargs="?", metavar="FIGURE", help="one of the figures above")
    add("--out", type=Path, metavar="STEM", help=f"path without suffix (default: {_FOLDER}/FIGURE)")
    add("--batches", type=int, default=4, metavar="N", help="batches to run (default: 4)")
    add(
        "--bounds",
        type=float,
        nargs="+",
        metavar="C",
        help="clipping bounds of `clipping` (default: -5 to -1)",
    )
    add(
        "--scene", type=int, default=0, metavar="N", help="validation scene of `boxes` (default: 0)"
    )
    add("--results", type=Path, default="docs/results", metavar="DIR", help="measured results")
    add(
        "--convention",
        default="chip",
        help="convention of counting memory of `memory` (default: chip)",
    )
    return parser
