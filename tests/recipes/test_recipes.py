"""Every recipe is found by a glob, built and trained for two batches through the command line."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from qsnn_plugins.cli import lightning

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.relative_to(ROOT) for path in (ROOT / "recipes").glob("*.yaml"))
OVERLAYS = sorted(path.relative_to(ROOT) for path in (ROOT / "recipes/overlays").glob("*.yaml"))


def config(recipe):
    return yaml.safe_load((ROOT / recipe).read_text())


def network(recipe):
    return config(recipe)["model"]["init_args"]["network"]


def header(recipe):
    text = (ROOT / recipe).read_text()
    return text[: text.index("seed_everything")]


def embedded_words(recipe):
    """The words with which the header says that the recipe runs on embedded data."""
    text = re.sub(r"\n# *", " ", header(recipe))
    told = re.search(r"on embedded data: add (.+?) (?:and, on a small machine|to both)", text)
    return told[1].split()


def cases():
    for recipe in RECIPES:
        hosts = (
            ["snntorch", "spikingjelly"] if network(recipe)["class_path"] != "HostedNet" else [None]
        )
        for host in hosts:
            yield pytest.param(recipe, host, id=f"{recipe.stem}-{host or 'hosted'}")


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["lightning", *words])
    return lightning()


def placed(words):
    """Files named in a header, as seen from another folder."""
    return [str(ROOT / word) if word.startswith("recipes/") else word for word in words]


def tiny(recipe):
    """What shrinks a recipe: its width, where it has one."""
    has_width = not network(recipe)["init_args"].get("name", "").startswith("sew_resnet")
    width = ["--model.network.width=0.0625"] if has_width else []
    return ["-c", str(ROOT / "tests/recipes/tiny.yaml"), *width]


def test_the_glob_finds_the_recipes():
    assert Path("recipes/spquant_vgg9.yaml") in RECIPES
    assert len(RECIPES) > 30


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("recipe", "host"), cases())
def test_a_recipe_trains_on_embedded_data(recipe, host, monkeypatch, tmp_path):
    words = ["-c", str(ROOT / recipe), *placed(embedded_words(recipe)), *tiny(recipe)]
    words += [f"--model.network.host={host}"] if host else []
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "fit", *words) == 0
    (written,) = tmp_path.rglob("config.yaml")
    assert host is None or f"host: {host}" in written.read_text()
