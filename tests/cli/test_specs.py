"""Specs in recipes and on the command line: presets, layers on top, and what is refused."""

from pathlib import Path

import pytest
import yaml

from qsnn_plugins import presets
from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.cli.resolution import resolve
from qsnn_plugins.spec import MembraneSpec

ROOT = Path(__file__).parents[2]
VGG9 = str(ROOT / "recipes/spquant_vgg9.yaml")
QSNN = str(ROOT / "recipes/qsnn_resnet19_cifar10.yaml")
SPEC = "--model.network.spec"
LONG = "--model.init_args.network.init_args.spec"


def composed(*words, recipe=VGG9):
    composition = Composition.of(["-c", recipe, *words])
    resolve(composition)
    return composition.config["model"]["init_args"]["network"]["init_args"]


def spec(*words, recipe=VGG9):
    return presets.resolve(composed(*words, recipe=recipe)["spec"])


@pytest.mark.parametrize("option", [SPEC, LONG])
def test_options_change_the_spec(option):
    assert spec() == presets.spquant(4, pruned=False)
    assert spec(f"{option}.weight_bits=2") == presets.spquant(2, pruned=False)
    assert spec(f"{option}.weight.bits=2").weight == presets.spquant(2).weight
    assert spec(f"{option}=imsnn") == presets.imsnn()
    assert spec(f"{option}.membrane.kind=float").membrane == MembraneSpec(kind="float")
    assert spec(f"{option}.membrane.smoothness=1e-1").membrane.smoothness == 0.1
    with_levels = spec(f"{option}.membrane.levels=[-3,-2,-1,0,1]").membrane
    assert with_levels.levels == (-3, -2, -1, 0, 1)
    assert spec(f"{option}.membrane=null") == spec()


def test_the_float_overlay_needs_no_nulls():
    text = (ROOT / "recipes/overlays/float.yaml").read_text()
    assert "null" not in text
    for recipe in sorted((ROOT / "recipes").glob("*.yaml")):
        words = ["-c", str(ROOT / "recipes/overlays/float.yaml")]
        found = spec(*words, recipe=str(recipe))
        assert found.to_dict()["membrane"] == {"kind": "float"}, recipe
        assert (found.weight.to_dict(), found.spike.bits) == ({}, 1), recipe


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        (
            f"{SPEC}.membrane.bits=4",
            "--model.network.spec.membrane.bits: membrane.bits=4 is not al",
        ),
        (f"{LONG}.spike.bits=2", "read"),
        (f"{SPEC}.threshold.gradient=fixed", None),
        (f"{SPEC}.weight.regulation=loud", "--model.network.spec.weight.regulation: "),
        (f"{SPEC}.weight.bit=2", "--model.network.spec.weight.bit: "),
        (f"{SPEC}.preset=imsn", "--model.network.spec.preset: "),
        (f"{SPEC}.weight_bit=2", "--model.network.spec.weight_bit: "),
        (f"{SPEC}=imsn", "--model.network.spec: "),
    ],
)
def test_what_is_not_read_is_refused_by_name(word, sentence):
    """A fixed threshold takes over from the preset's, since that names no window."""
    if sentence in (None, "read"):
        assert spec(word)
        return
    with pytest.raises(RecipeError) as refusal:
        spec(word)
    assert str(refusal.value).startswith(sentence)


def test_the_kinds_that_read_an_option_are_named():
    with pytest.raises(RecipeError, match=r"kind 'levels'; .*'uniform'.* read it"):
        spec(f"{SPEC}.membrane.bits=4")


def test_a_file_is_named_with_the_whole_key(tmp_path):
    layer = tmp_path / "layer.yaml"
    layer.write_text("model: {init_args: {network: {init_args: {spec: {membrane: {bits: 4}}}}}}")
    with pytest.raises(RecipeError) as refusal:
        spec("-c", str(layer))
    key = "model.init_args.network.init_args.spec.membrane.bits"
    assert str(refusal.value).startswith(f"{layer}: {key}: membrane.bits=4 is not allowed")


def test_overrides_of_layers_are_specs_too(tmp_path):
    layer = tmp_path / "layer.yaml"
    layer.write_text(
        "model: {network: {overrides: {'conv1.*': imsnn, fc1: {preset: qsnn, membrane_bits: 4}, "
        "fc2: null}}}"
    )
    overrides = composed("-c", str(layer))["overrides"]
    assert presets.resolve(overrides["conv1.*"]) == presets.imsnn()
    assert presets.resolve(overrides["fc1"]) == presets.qsnn(4)
    assert overrides["fc2"] is None
    layer.write_text("model: {network: {overrides: {'conv1.*': {membrane: {bits: 4}}}}}")
    with pytest.raises(
        RecipeError, match=r"overrides\.conv1\.\*\.membrane\.bits: membrane\.bits=4"
    ):
        composed("-c", str(layer))


def test_what_follows_from_the_data_is_linked():
    embedded = ("-c", str(ROOT / "recipes/overlays/embedded.yaml"))
    recipe = str(ROOT / "recipes/imsnn_vgg9_ncaltech101.yaml")
    facts = ("classes", "in_channels", "input_size")
    assert [composed(recipe=recipe)[key] for key in facts] == [101, 2, [48, 48]]
    assert [composed(*embedded, recipe=recipe)[key] for key in facts] == [10, 2, [24, 24]]
    given = composed("--model.network.classes=7", "--data.size=32", recipe=recipe)
    assert [given[key] for key in facts] == ["7", 2, [32, 32]]


def test_another_data_set_drops_what_it_does_not_have(tmp_path):
    layer = tmp_path / "layer.yaml"
    layer.write_text("data: {root: elsewhere, seed: 3}")
    embedded = str(ROOT / "recipes/overlays/embedded.yaml")
    composition = Composition.of(["-c", VGG9, "-c", str(layer), "-c", embedded])
    resolve(composition)
    data = composition.config["data"]
    assert data["class_path"] == "EventDigits"
    assert data["init_args"] == {
        "time_steps": 6, "size": 24, "bin_by": "time", "binary": True, "batch_size": 32, "seed": 3,
    }  # fmt: skip


def test_a_composed_recipe_can_be_written_and_read_again(tmp_path):
    composition = Composition.of(["-c", VGG9])
    resolve(composition)
    written = tmp_path / "config.yaml"
    written.write_text(yaml.safe_dump(composition.config))
    again = Composition.of(["-c", str(written)])
    resolve(again)
    assert again.config == composition.config


@pytest.mark.parametrize(
    ("words", "membrane"),
    [
        ((f"{SPEC}.membrane.bits=4", f"{SPEC}.membrane.kind=uniform"), ("uniform", 4)),
        ((f"{SPEC}.membrane_bits=4", f"{SPEC}=qsnn"), ("uniform", 4)),
        ((f"{SPEC}.membrane_bits=4", f"{SPEC}.preset=qsnn"), ("uniform", 4)),
        ((f"{SPEC}=qsnn", f"{SPEC}.membrane.kind=tanh"), ("tanh", 2)),
    ],
)
def test_the_order_of_options_drops_none(words, membrane):
    found = spec(*words).membrane
    assert (found.kind, found.bits) == membrane
    with pytest.raises(RecipeError, match=r"--model.network.spec.weight.bits: .* kind 'float'"):
        spec(f"{SPEC}.weight.bits=2", f"{SPEC}.weight.kind=float")


def test_a_kind_that_the_preset_has_keeps_what_was_given(tmp_path):
    words = ["-c", str(ROOT / "recipes/overlays/membranes_4bit.yaml")]
    found = spec(*words, f"{SPEC}.membrane.kind=uniform", recipe=QSNN)
    assert (found.membrane, found.spike) == (presets.qsnn(4).membrane, presets.qsnn(4).spike)
    assert spec(*words, f"{SPEC}.membrane.kind=tanh", recipe=QSNN).membrane.bits == 2
    layer = tmp_path / "layer.yaml"
    layer.write_text("model: {network: {spec: null}}")
    words += [f"{SPEC}.membrane.kind=uniform", "-c", str(layer)]
    assert spec(*words, recipe=QSNN).membrane.bits == 2


@pytest.mark.parametrize(
    ("overlay", "word", "recipe"),
    [
        ("float", "weight_bits=2", VGG9),
        ("weights_2bit", "weight_bits=4", VGG9),
        ("pruned", "pruned=false", VGG9),
    ],
)
def test_an_argument_that_a_part_overrules_is_refused(overlay, word, recipe):
    layer = ["-c", str(ROOT / f"recipes/overlays/{overlay}.yaml")]
    assert spec(*layer, recipe=recipe)  # an overlay's part overrules the recipe's argument
    sentence = f"^{SPEC}.{word.split('=')[0]}: .* is not allowed: give None together with "
    with pytest.raises(RecipeError, match=sentence):
        spec(*layer, f"{SPEC}.{word}", recipe=recipe)


def test_an_argument_and_a_part_of_one_file_do_not_contradict_each_other(tmp_path):
    layer = tmp_path / "layer.yaml"
    values = "{preset: qsnn, membrane_bits: 4, membrane: {bits: 2}}"
    layer.write_text(f"model: {{network: {{spec: {values}}}}}")
    with pytest.raises(RecipeError, match=r"spec.membrane_bits: .*which says uniform, 2 bits"):
        spec("-c", str(layer))


def test_a_file_refuses_prefixes_as_the_command_line_does(tmp_path):
    layer = tmp_path / "layer.yaml"
    layer.write_text("model: {network: {spec: {weight: {bit: 2}}}}")
    with pytest.raises(RecipeError, match=r"spec\.weight\.bit: spec\.weight has no option 'bit'"):
        spec("-c", str(layer))


def test_null_resets_an_argument_that_may_not_be_none():
    from_data = ("-c", str(ROOT / "recipes/overlays/embedded.yaml"), "--data.size=null")
    composition = Composition.of(["-c", VGG9, *from_data, "--model.loss.lamb=null"])
    resolve(composition)
    assert "size" not in composition.config["data"]["init_args"]
    assert "lamb" not in composition.config["model"]["init_args"]["loss"]["init_args"]
    assert "width" not in composed("--model.network.width=0.5", "--model.network.width=null")
    assert composed("--model.network.overrides=null")["overrides"] is None
