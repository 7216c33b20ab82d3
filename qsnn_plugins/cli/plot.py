"""`qsnn plot`: figures of trained networks, of runs and of measured results."""

from __future__ import annotations

from argparse import Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.examples import DEMO, SCENES
from qsnn_plugins.cli.failures import RecipeError, ToolParser, tool_status
from qsnn_plugins.cli.inputs import check_checkpoint
from qsnn_plugins.progress import phase

_FOLDER = Path("runs/figures")
_RESULTS = Path("docs/results")


class _Figure(NamedTuple):
    """A figure: what it shows, of how many networks or series, and the options that it reads."""

    shows: str
    example: str
    options: tuple[str, ...]
    most: int = 8


_QSNN = "-c recipes/qsnn_vggsnn_cifar10dvs.yaml -c recipes/overlays/embedded.yaml"
_SCENES = f"{SCENES} --ckpt_path last"
_WITHOUT = "-c recipes/overlays/without_wsdr.yaml"
_MEASURED = ("--ckpt_path", "--batches", "--layers")
FIGURES = {
    "membranes": _Figure(
        "histograms of membranes before and after quantization, by layer",
        f"{DEMO} --ckpt_path last",
        _MEASURED,
        most=1,
    ),
    "clipping": _Figure(
        "membranes below a bound that still fire, by layer (IM-SNN Fig. 2)",
        f"{DEMO} --ckpt_path last --bounds -3 -2 -1",
        (*_MEASURED, "--bounds"),
        most=1,
    ),
    "negative": _Figure(
        "negative membranes and their firing rate, by layer (IM-SNN Fig. 3)",
        f"{DEMO} --ckpt_path last",
        _MEASURED,
        most=1,
    ),
    "distributions": _Figure(
        "values of weights and spikes, by layer (Q-SNN Fig. 2 and 4)",
        f'{_QSNN} --ckpt_path last --label "with WS-DR" '
        f'--and {_QSNN} {_WITHOUT} --ckpt_path last --label "without"',
        (*_MEASURED, "--label"),
        most=4,
    ),
    "rates": _Figure(
        "firing rates by layer (bit budget Fig. 6)",
        f'{DEMO} --ckpt_path last --label "1-bit spikes"',
        (*_MEASURED, "--label"),
    ),
    "curves": _Figure(
        "loss and accuracy against epochs, with intervals over seeds",
        "runs/seed42 runs/seed43 --label float --and runs/ternary42 runs/ternary43 --label ternary",
        ("RUN", "--label", "--rows", "--metrics"),
        most=7,
    ),
    "boxes": _Figure(
        "one scene as detectors see it, with true and found boxes",
        f"{_SCENES} --scene 1",
        ("--ckpt_path", "--scene", "--min_score", "--label"),
        most=4,
    ),
    "bits": _Figure(
        "accuracy against membrane bits, from results (IM-SNN Fig. 4)",
        f"{_RESULTS}/qsnn_vggsnn_cifar10dvs+embedded.json --label VGGSNN",
        ("RESULTS", "--label", "--rows"),
    ),
    "tradeoff": _Figure(
        "accuracy against memory with the Pareto front, from results",
        f"{_RESULTS}/qsnn_vggsnn_cifar10dvs+embedded.json",
        ("RESULTS", "--label", "--rows", "--convention"),
    ),
}
_NETWORK_USAGE = "qsnn plot {figure} -c RECIPE [-c OVERLAY ...] --ckpt_path FILE [options]"
_RESULTS_USAGE = "qsnn plot {figure} [RESULTS ...] [-c RECIPE] [-c OVERLAY ...] [options]"
_OWN = {
    "--ckpt_path": "file with trained weights, or `last` for the newest of the recipe's runs",
    "--label": "what it is called in the figure",
    "--rows": "only the row of the results of this name, or those that hold it",
}
_RUNS_USAGE = "qsnn plot {figure} RUN [RUN ...] [options]"
_RUNS_NOTE = """
A RUN is the folder of a run, such as runs/NAME, or its metrics.csv; several that differ in their
seeds are one series, drawn as their mean with its 95 % interval. A CSV of `qsnn measure` in
docs/results holds the runs of all seeds, a series for each row.
"""
_NETWORK_NOTE = """
Any value of a recipe can be set behind it, as with `qsnn fit`. The network runs on its test data.
--ckpt_changes allow takes a checkpoint that was trained otherwise than its recipe says.
"""
_RESULTS_NOTE = """
RESULTS are JSON files of `qsnn measure`, or a folder of them (default: docs/results). With -c,
those are drawn whose commands have all the given files.
"""


def main(words: list[str]) -> int:
    """Save a figure; 0: done, 1: data are missing or broken, 2: what was asked cannot be."""
    return tool_status(lambda: _main(words), words)


def _main(words: list[str]) -> None:
    figure, *others = words or [""]
    if figure in ("-h", "--help"):
        print(_help())
        return
    _check_figure(figure)
    options, rest = _parser(figure).parse_known_args(others)
    parts = _split(rest)
    most = FIGURES[figure].most
    if len(parts) > most:
        number = "one network" if most == 1 else f"at most {most}"
        raise RecipeError(f"--and: {figure} shows {number}")
    draw = _KINDS[_kind(figure)].prepare(figure, options, parts)
    with phase(f"drawing {figure}"):
        from qsnn_plugins.plot import page, save_figure
        from qsnn_plugins.plot.style import figure_files

        out = options.out or _FOLDER / figure
        figure_files(out)  # before what takes long
        with page(options.width, options.title):
            drawn = draw()
        saved = save_figure(drawn, out)
    print(*saved, sep="\n")


def _of_networks(figure: str, options: Namespace, parts: list[list[str]]) -> Callable[[], Any]:
    """Check what is asked for before anything heavy is imported; return what draws it."""
    parser = _own_parser(figure)
    parsed = []
    for part in parts:
        own, others = parser.parse_known_args(part)
        _refuse_others(figure, others)
        parsed.append((own, Composition.of(others)))
    if any(own.ckpt_path is None for own, _ in parsed):
        raise RecipeError(f"{figure} needs trained networks: give a --ckpt_path for each")
    for own, _ in parsed:
        check_checkpoint(own.ckpt_path)

    def draw() -> Any:
        from qsnn_plugins.cli.plot_networks import draw_networks

        return draw_networks(figure, options, parsed)

    return draw


def _of_results(figure: str, options: Namespace, parts: list[list[str]]) -> Callable[[], Any]:
    """Choose the results before anything is built; return what draws them."""
    from qsnn_plugins.cli.chosen_results import choose_results

    results = choose_results(figure, options, _all_own(figure, parts, "recorded results"))

    def draw() -> Any:
        from qsnn_plugins.cli.plot_results import draw_results

        return draw_results(figure, options, results)

    return draw


def _of_runs(figure: str, options: Namespace, parts: list[list[str]]) -> Callable[[], Any]:
    """Check that the runs are there; return what draws them."""
    chosen = _all_own(figure, parts, "logged runs")
    for own in chosen:
        if not own.runs:
            raise RecipeError(f"{figure} is drawn from logged runs: give their folders")
        for run in own.runs:
            if not run.exists():
                raise RecipeError(f"there is no run {run}")

    def draw() -> Any:
        from qsnn_plugins.cli.plot_curves import draw_curves

        return draw_curves(options, chosen)

    return draw


class _Kind(NamedTuple):
    """What a figure is drawn of."""

    usage: str
    note: str
    each: str
    prepare: Callable[[str, Namespace, list[list[str]]], Callable[[], Any]]


_KINDS = {
    "NETWORK": _Kind(_NETWORK_USAGE, _NETWORK_NOTE, "of each network:", _of_networks),
    "RESULTS": _Kind(_RESULTS_USAGE, _RESULTS_NOTE, "of each series:", _of_results),
    "RUN": _Kind(_RUNS_USAGE, _RUNS_NOTE, "of each series:", _of_runs),
}


def _kind(figure: str) -> str:
    return next((kind for kind in _KINDS if kind in FIGURES[figure].options), "NETWORK")


def _split(words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "--and":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _check_figure(figure: str) -> None:
    if not figure or figure.startswith("-"):  # what follows an option would pass for the figure
        known = ", ".join(FIGURES)
        raise RecipeError(f"qsnn plot: give a figure as the first word: {known}")
    if figure not in FIGURES:
        near = get_close_matches(figure, FIGURES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the figures are {', '.join(FIGURES)}"
        raise RecipeError(f"qsnn plot has no figure {figure!r}; {hint}")


def _refuse_others(figure: str, words: list[str]) -> None:
    """Refuse an option of another figure by name."""
    for word in words:
        option = word.partition("=")[0]
        readers = [name for name, other in FIGURES.items() if option in other.options]
        if readers:
            raise RecipeError(f"{option}: {figure} does not read it; {', '.join(readers)} do")


def _help() -> str:
    width = max(map(len, FIGURES)) + 2
    lines = [
        "usage: qsnn plot FIGURE [options]     qsnn plot FIGURE --help shows the options",
        "",
        "Draw a figure and save it as PNG, SVG and PDF.",
        "",
        *(f"  {name:<{width}}{figure.shows}" for name, figure in FIGURES.items()),
        "",
        f"example: qsnn plot membranes {FIGURES['membranes'].example}",
    ]
    return "\n".join(lines)


def _epilog(figure: str) -> str:
    about = FIGURES[figure]
    kind = _KINDS[_kind(figure)]
    own = [kind.each]
    own += [f"  {name:<22}{_OWN[name]}" for name in _OWN if name in about.options]
    if about.most > 1:
        own.append("  --and                 what follows is of the next one")
    return "\n".join([*own, kind.note, f"example: qsnn plot {figure} {about.example}"])


def _own_parser(figure: str) -> ToolParser:
    """What is said of each network or series."""
    parser = ToolParser(prog=f"qsnn plot {figure}", add_help=False, allow_abbrev=False)
    options = FIGURES[figure].options
    for name in ("--ckpt_path", "--label", "--rows"):
        if name in options:
            parser.add_argument(name)
    if "RUN" in options:
        parser.add_argument("runs", nargs="*", type=Path)
    if "RESULTS" in options:
        parser.add_argument("results", nargs="*", type=Path)
        parser.add_argument("-c", "--config", action="append", default=[])
    return parser


def _all_own(figure: str, parts: list[list[str]], drawn_from: str) -> list[Namespace]:
    """What is said of each series, and nothing else."""
    parsed = [_own_parser(figure).parse_known_args(part) for part in parts]
    for _, others in parsed:
        if others:
            raise RecipeError(f"{figure} is drawn from {drawn_from} and does not use {others[0]}")
    return [own for own, _ in parsed]


def _parser(figure: str) -> ToolParser:
    """What is said of the figure; its help shows the options of a network or series too."""
    about = FIGURES[figure]
    parser = ToolParser(
        prog=f"qsnn plot {figure}",
        usage=_KINDS[_kind(figure)].usage.format(figure=figure)
        + (" [--and ...]" if about.most > 1 else ""),
        description=f"Draw {about.shows}.",
        epilog=_epilog(figure),
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        metavar="FILE",
        help="with .png, .svg or .pdf that form alone, else all three "
        f"(default: {_FOLDER}/{figure})",
    )
    add(
        "--width",
        metavar="INCHES|VENUE",
        help="width of a paper's column, with fonts of 8 points: ieee, acm, icml, cvpr, neurips, "
        "lncs, nature; ieee2, acm2, icml2, cvpr2 and nature2 are those of two columns",
    )
    add("--no_title", action="store_false", dest="title", help="leave the title out")
    optional: dict[str, dict[str, Any]] = {
        "--batches": {
            "type": int, "default": 4, "metavar": "N",
            "help": "batches of evenly spaced test samples to run (default: 4)",
        },
        "--layers": {
            "nargs": "+", "metavar": "PATTERN",
            "help": "layers whose full names fit one of the glob patterns, such as 'blocks.conv*'",
        },
        "--bounds": {
            "type": float, "nargs": "+", "metavar": "C",
            "help": "clipping bounds (default: -5 to -1)",
        },
        "--metrics": {
            "nargs": "+", "metavar": "NAME",
            "help": "columns of metrics.csv (default: train_loss, and val_accuracy or val_map)",
        },
        "--scene": {
            "type": int, "default": 0, "metavar": "N", "help": "validation scene (default: 0)"
        },
        "--min_score": {
            "type": float, "default": 0.5, "metavar": "S",
            "help": "boxes from this score on are drawn (default: 0.5)",
        },
        "--convention": {
            "metavar": "NAME",
            "help": "count the memory as a paper does, see docs/cost.md (default: all parameters "
            "and membranes, as a chip packs them)",
        },
    }  # fmt: skip
    for name, settings in optional.items():
        if name in about.options:
            add(name, **settings)
    return parser
