"""Every recipe is found by a glob, built and trained for two batches through the command line."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from qsnn_plugins.cli import lightning
from tests.recipes.configs import RECIPES, ROOT, merged, network_of


def header(recipe):
    """The comment at the top of a recipe."""
    return re.match(r"(#.*\n)+", (ROOT / recipe).read_text())[0]


def embedded_words(recipe):
    """The words with which the header says that the recipe runs on embedded data."""
    text = re.sub(r"\n# *", " ", header(recipe))
    (words,) = re.findall(r"Without the data set: add (.+?) to both", text)
    return words.split()


def cases():
    """Recipes and hosts; two recipes that embedded data make the same run are trained once."""
    runs, networks = [], set()
    for recipe in RECIPES:
        config = merged(recipe, embedded_words(recipe))
        if config in runs:
            continue
        runs.append(config)
        network = network_of(merged(recipe))
        hosts = [None] if network["class_path"] == "HostedNet" else ["snntorch", "spikingjelly"]
        arguments = network["init_args"]
        kept = {key: arguments[key] for key in arguments if key not in ("classes", "input_size")}
        if str(kept) in networks:  # the same network for another data set
            hosts = hosts[-1:]
        networks.add(str(kept))
        for host in hosts:
            quick = "spquant_vgg9.yaml" in recipe
            marks = () if quick else pytest.mark.slow
            yield pytest.param(
                recipe, host, marks=marks, id=f"{Path(recipe).stem}-{host or 'hosted'}"
            )


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["lightning", *words])
    return lightning()


def placed(words):
    """Files named in a header, as seen from another folder."""
    return [str(ROOT / word) if word.startswith("recipes/") else word for word in words]


def tiny(recipe):
    """What shrinks a recipe: its width, where it has one."""
    name = network_of(merged(recipe))["init_args"].get("name", "")
    has_width = not name.startswith("sew_resnet")
    width = ["--model.network.width=0.0625"] if has_width else []
    return ["-c", str(ROOT / "tests/recipes/tiny.yaml"), *width]


def test_the_glob_finds_the_recipes():
    assert "recipes/spquant_vgg9.yaml" in RECIPES
    assert len(RECIPES) > 30


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("recipe", "host"), list(cases()))
def test_a_recipe_trains_on_embedded_data(recipe, host, monkeypatch, tmp_path):
    words = ["-c", str(ROOT / recipe), *placed(embedded_words(recipe)), *tiny(recipe)]
    words += [f"--model.network.host={host}"] if host else []
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "fit", *words) == 0
    (written,) = tmp_path.rglob("config.yaml")
    assert host is None or f"host: {host}" in written.read_text()


SPIKFORMERS = [recipe for recipe in RECIPES if "bit_budget" in recipe]


@pytest.mark.parametrize("recipe", SPIKFORMERS)
def test_what_follows_spikformer_augments_and_mixes_as_it_does(recipe):
    """The figures of its cifar10.yml, its imagenet.yml and its script for CIFAR10-DVS."""
    config = merged(recipe)
    assert config["data"]["init_args"]["augment"] == "spikformer"
    assert config["model"]["init_args"]["loss"]["init_args"]["label_smoothing"] == 0.1
    static = {"mixup": 0.5, "until_epoch": 200}
    known = {"CIFAR10": static, "CIFAR100": static, "ImageNet": {"mixup": 0.8, "cutmix": 1.0}}
    events = {"mixup": 0.5, "probability": 0.5, "until_epoch": 75}
    mixing = config["model"]["init_args"]["mixing"]
    assert mixing == known.get(config["data"]["class_path"], events)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mixing", ["until_epoch=1", "cutmix=1", "probability=0"])
def test_augmentation_and_mixing_train_on_embedded_digits(mixing, monkeypatch, tmp_path):
    recipe = "recipes/bit_budget_spikformer_cifar10.yaml"
    words = ["-c", str(ROOT / recipe), *placed(embedded_words(recipe)), *tiny(recipe)]
    words += ["--data.augment=spikformer", f"--model.mixing.{mixing}"]
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "fit", *words) == 0
    (written,) = tmp_path.rglob("config.yaml")
    assert "augment: spikformer" in written.read_text()


@pytest.mark.filterwarnings("ignore")
def test_what_was_trained_is_tested(monkeypatch, tmp_path, capsys):
    recipe = "recipes/spquant_vgg9.yaml"
    words = ["-c", str(ROOT / recipe), *placed(embedded_words(recipe)), *tiny(recipe)]
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "fit", *words) == 0
    assert run(monkeypatch, "test", *words, "--ckpt_path=last") == 0
    assert "test accuracy: " in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_the_configuration_of_a_run_is_a_recipe(monkeypatch, tmp_path):
    recipe = "recipes/spquant_vgg9.yaml"
    words = ["-c", str(ROOT / recipe), *placed(embedded_words(recipe)), *tiny(recipe)]
    words += ["--model.network.spec.membrane.kind=uniform", "--model.network.spec.membrane.bits=4"]
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "fit", *words) == 0
    (written,) = tmp_path.rglob("config.yaml")
    where = [f"--trainer.{key}=again" for key in ("default_root_dir", "logger.save_dir")]
    assert run(monkeypatch, "fit", "-c", str(written), *where) == 0
    (again,) = (tmp_path / "again").rglob("config.yaml")
    first, second = (yaml.safe_load(path.read_text()) for path in (written, again))
    assert first["model"]["init_args"]["network"]["init_args"]["spec"]["membrane"]["bits"] == 4
    for part in ("model", "data", "seed_everything"):  # the trainer's logger gets its defaults
        assert second[part] == first[part]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_says_what_it_is_and_how_to_run_it(recipe):
    comment = header(recipe)
    for word in ("# Table:", "# Needs:", f"# Command: lightning fit -c {recipe}"):
        assert word in comment, word
    for named in re.findall(r"recipes/[\w/]+\.yaml", comment):
        assert (ROOT / named).is_file(), named
    is_hosted = network_of(merged(recipe))["class_path"] == "HostedNet"
    assert ("--model.network.host=snntorch" in comment) != is_hosted


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_deterministic(recipe):
    config = merged(recipe)
    assert config["seed_everything"] == 42
    assert config["trainer"]["deterministic"] is True


OVERLAYS = sorted((ROOT / "recipes/overlays").glob("*.yaml"))


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_says_how_to_put_it_on_a_recipe(overlay):
    name = str(overlay.relative_to(ROOT))
    text = re.sub(r" \\\n# *", " ", overlay.read_text())
    used = re.search(rf"# .+ -c (recipes/\w+\.yaml) .*{re.escape(name)}", text)
    assert used is not None
    assert (ROOT / used[1]).is_file()
