"""What a recipe says with overlays and words on top of it, without the command line."""

from functools import cache
from pathlib import Path

import torch
import yaml

from qsnn_plugins import models, presets
from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.resolution import resolve
from qsnn_plugins.spec import QuantSpec

ROOT = Path(__file__).parents[2]
RECIPES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "recipes").glob("*.yaml"))
FLOAT = QuantSpec.full_precision()


def merged(recipe, words=()):
    """The recipe's configuration with the words behind it, as the parser reads it."""
    return typed(_merged(recipe, tuple(words)))


@cache
def _merged(recipe, words):
    placed = [str(ROOT / word) if word.startswith("recipes/") else word for word in words]
    composition = Composition.of(["-c", str(ROOT / recipe), *placed])
    resolve(composition)
    return composition.config


def typed(node):
    """Options are strings until the parser knows their types."""
    if isinstance(node, dict):
        return {key: typed(value) for key, value in node.items()}
    return yaml.safe_load(node) if isinstance(node, str) else node


def network_of(config):
    return config["model"]["init_args"]["network"]


def spec_of(config):
    return presets.resolve(network_of(config)["init_args"]["spec"])


def build(config, spec):
    """Build the network at its full size, without its memory."""
    arguments = {k: v for k, v in network_of(config)["init_args"].items() if k != "spec"}
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()}
    kind = getattr(models, network_of(config)["class_path"].rpartition(".")[2])
    with torch.device("meta"):
        return kind(**arguments, spec=spec)
