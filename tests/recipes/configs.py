"""What a recipe says with overlays and words on top of it, without the command line."""

import copy
from pathlib import Path

import torch
import yaml

from qsnn_plugins import models
from qsnn_plugins.spec import QuantSpec

ROOT = Path(__file__).parents[2]
RECIPES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "recipes").glob("*.yaml"))
FLOAT = QuantSpec.full_precision()


def load(path):
    return yaml.safe_load((ROOT / path).read_text())


def merged(recipe, words=()):
    """The recipe's configuration after the words behind it, in their order."""
    config, words = load(recipe), iter(words)
    for word in words:
        if word == "-c":
            _lay(config, load(next(words)))
        else:
            key, _, value = word.removeprefix("--").partition("=")
            place = config
            *way, last = key.split(".")
            for part in way:
                place = place[part]
                place = place.get("init_args", place)
            place[last] = yaml.safe_load(value)
    return config


def _lay(below, above):
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _lay(below[key], value)
        else:
            below[key] = copy.deepcopy(value)


def network_of(config):
    return config["model"]["init_args"]["network"]


def spec_of(config):
    return QuantSpec.from_dict(network_of(config)["init_args"].get("spec", {}))


def build(config, spec):
    """Build the network at its full size, without its memory."""
    arguments = {k: v for k, v in network_of(config)["init_args"].items() if k != "spec"}
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()}
    kind = getattr(models, network_of(config)["class_path"].rpartition(".")[2])
    with torch.device("meta"):
        return kind(**arguments, spec=spec)
