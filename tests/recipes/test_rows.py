"""Every row of the papers' tables has a recipe whose words fit it, or a reason why not."""

import re
from argparse import ArgumentError

import pytest

from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.reproduce import load_results
from qsnn_plugins.reproduce.recipes import recipes_page
from qsnn_plugins.reproduce.trained import trained_cells
from qsnn_plugins.spec import QuantSpec
from tests.recipes.configs import RECIPES, ROOT, build, merged, network_of, spec_of

CELLS = list(trained_cells())
TRAINED = [cell for cell in CELLS if cell.recipe]
COMMANDS = sorted({(cell.recipe, cell.row.overrides) for cell in TRAINED})
WITHOUT_ROW = {
    "recipes/sigmoid_quantizer_plif_nmnist.yaml",  # in Shymyrbay et al.'s Table I, without accuracy
    "recipes/imsnn_yolov2_gen1.yaml",  # their tables have precisions: test_detection.py
    "recipes/spquant_yolov2_gen1.yaml",
}
TABLES = {
    "imsnn": {"I", "II", "III", "V", "VI"},
    "spquant": {"4", "5", "7", "8"},
    "qsnn": {"1", "fig3", "fig5"},
    "sigmoid_quantizer": {"III", "IV", "V", "fig2"},
    "bit_budget": {"1", "2", "3", "5"},
    "comparison": {"cifar10_cpu", "cifar10_scratch", "nmnist_cpu", "scenes"},
}


def test_all_classification_tables_are_there():
    found = {paper: {c.table for c in CELLS if c.paper == paper} for paper in TABLES}
    assert found == TABLES


def test_a_row_without_a_recipe_has_a_reason():
    assert [cell.key for cell in CELLS if not cell.recipe and not cell.without] == []


def test_every_own_row_has_a_recipe():
    assert [cell.key for cell in CELLS if cell.row.own and not cell.recipe] == []


def test_every_recipe_trains_a_row():
    assert {recipe for recipe, _ in COMMANDS} | WITHOUT_ROW == set(RECIPES)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", sorted({recipe for recipe, _ in COMMANDS}))
def test_the_words_of_a_row_are_accepted(recipe, parser):
    for _, words in (command for command in COMMANDS if command[0] == recipe):
        config = merged(recipe, words)
        parsed = parser.parse_object(config).model.init_args
        steps = getattr(parsed, "time_steps", None)  # a detector has none
        assert steps == config["model"]["init_args"].get("time_steps")
        given = spec_of(config).to_dict().get("weight", {})  # nothing of float weights
        assert parsed.network.init_args.spec.weight.bits == given.get("bits"), words


def test_a_word_that_does_not_fit_is_noticed(parser):
    for word in ("--data.width=1", "--model.loss.lambda=0"):
        with pytest.raises(ArgumentError):
            parser.parse_object(merged("recipes/qsnn_resnet19_cifar10.yaml", [word]))
    with pytest.raises(RecipeError, match=r"--model\.network\.spec\.weight\.colour: "):
        merged("recipes/qsnn_resnet19_cifar10.yaml", ["--model.network.spec.weight.colour=2"])


def test_the_network_of_a_row_is_built():
    known = set()
    for recipe, words in COMMANDS:
        config = merged(recipe, words)
        membrane = QuantSpec(spec_of(config).membrane)
        network = network_of(config)
        shape = {key: value for key, value in network["init_args"].items() if key != "spec"}
        if (case := (network["class_path"], str(shape), membrane)) in known:
            continue
        known.add(case)
        assert build(config, membrane).out_channels > 0, (recipe, words)


def settings_of(cell):
    return {**cell.row.settings, **cell.column.settings}


def test_a_rows_bits_and_steps_are_those_of_its_command():
    for cell in TRAINED:
        config, settings = merged(cell.recipe, cell.row.overrides), settings_of(cell)
        spec = spec_of(config)
        weights = settings.get("weight_bits")
        if weights is not None:  # 16 bits are counted as BF16 and trained in 32
            assert spec.weight.storage_bits == (32 if weights == 16 else weights), cell.key
        membranes = settings.get("membrane_bits")
        if membranes is not None:
            ternary = 2 if membranes in (1.5, 1.58) else membranes
            assert spec.membrane.storage_bits == ternary, cell.key
        if "spike_bits" in settings:
            assert spec.spike.bits == settings["spike_bits"], cell.key
        if settings.get("time_steps") is not None:
            steps = {**config["data"]["init_args"], **config["model"]["init_args"]}["time_steps"]
            assert steps == settings["time_steps"], cell.key
        assert spec.pruning.prunes == (settings.get("method") == "SpQuant-SNN"), cell.key


DATASETS = {
    "CIFAR-10": "CIFAR10",
    "CIFAR-100": "CIFAR100",
    "ImageNet-100": "ImageNet",
    "ImageNet-1k": "ImageNet",
    "TinyImageNet": "TinyImageNet",
    "DVS-CIFAR10": "CIFAR10DVS",
    "CIFAR10-DVS": "CIFAR10DVS",
    "DVS128 Gesture": "DVS128Gesture",
    "N-Caltech101": "NCaltech101",
    "N-MNIST": "NMNIST",
}


def test_a_rows_data_set_and_network_are_those_of_its_recipe():
    titles = {**DATASETS, **{name.replace("-", ""): kind for name, kind in DATASETS.items()}}
    for cell in TRAINED:
        config, settings = merged(cell.recipe, cell.row.overrides), settings_of(cell)
        dataset = settings.get("dataset") or (titles.get(cell.column.title) and cell.column.title)
        if dataset:
            assert config["data"]["class_path"] == titles[dataset], cell.key
        arguments = network_of(config)["init_args"]
        depth = re.search(r"ResNet-?(\d+)", str(settings.get("architecture")))
        if depth and "depth" in arguments:
            assert arguments["depth"] == int(depth[1]), cell.key
        former = re.search(r"Spikformer-(\d)-(\d+)", str(settings.get("architecture")))
        if former and cell.paper == "bit_budget":
            assert arguments["name"] == f"spikformer_{former[1]}_{former[2]}", cell.key


def test_the_page_is_what_the_data_say():
    page = recipes_page(load_results(ROOT / "docs/results"))
    written = (ROOT / "recipes/README.md").read_text()
    assert written == page, "recipes/README.md is stale: run `qsnn recipes --write`"


def test_the_page_lists_every_command():
    page = (ROOT / "recipes/README.md").read_text()
    assert all(f"`{cell.command}`" in page for cell in TRAINED)


def test_no_accuracy_is_typed_into_a_recipe():
    assert [r for r in RECIPES if re.search(r"\d\.\d+\s*%", (ROOT / r).read_text())] == []
