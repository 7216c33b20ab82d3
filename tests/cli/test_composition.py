"""What files and options come to when they are laid on top of each other."""

import pytest
import yaml

from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.errors import QSNNWarning

BELOW = """
model:
  class_path: Model
  init_args:
    network:
      class_path: Net
      init_args:
        width: 4
        spec: {preset: imsnn, weight_bits: 2, membrane: {kind: uniform, bits: 4}}
    lr: 1e-3
trainer:
  callbacks: [{class_path: First}, {class_path: Second, init_args: {n: 1}}]
"""


@pytest.fixture
def compose(tmp_path, monkeypatch):
    """Compose the recipe above with a layer and options on top."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below.yaml").write_text(BELOW)

    def call(layer="", *words):
        (tmp_path / "layer.yaml").write_text(layer or "{}")
        return Composition.of(["-c", "below.yaml", "--config=layer.yaml", *words])

    return call


def test_recipes_of_the_package_are_found_from_anywhere(tmp_path, monkeypatch):
    words = [
        "-c",
        "recipes/bit_budget_spikformer_dvs128gesture.yaml",
        "-c",
        "recipes/overlays/embedded.yaml",
    ]
    here = Composition.of(words)  # the first stands on another
    monkeypatch.chdir(tmp_path)
    there = Composition.of(words)
    assert (there.config, there.files, there.name) == (here.config, here.files, here.name)
    (tmp_path / "recipes" / "overlays").mkdir(parents=True)
    (tmp_path / "recipes" / "overlays" / "embedded.yaml").write_text("data: Mine")
    assert Composition.of(words).config["data"]["class_path"] == "Mine"
    with pytest.raises(RecipeError, match=r"there is no recipe recipes/nothing.yaml"):
        Composition.of(["-c", "recipes/nothing.yaml"])


def network(composition):
    return composition.config["model"]["init_args"]["network"]


def spec(composition):
    return network(composition)["init_args"]["spec"]


def test_mappings_merge_and_values_and_lists_replace(compose):
    config = compose("model: {init_args: {lr: 2, sizes: [1]}}\ntrainer: {callbacks: []}").config
    assert config["model"]["init_args"]["lr"] == 2
    assert config["model"]["init_args"]["sizes"] == [1]
    assert config["model"]["class_path"] == "Model"
    assert config["trainer"] == {"callbacks": []}


def test_numbers_are_read_as_the_parser_reads_them(compose):
    assert compose().config["model"]["init_args"]["lr"] == 1e-3


def test_the_short_form_names_arguments_of_a_class(compose):
    layer = "model: {network: {width: 8, spec: {weight_bits: 8}}}"
    long = "model: {init_args: {network: {init_args: {width: 8, spec: {weight_bits: 8}}}}}"
    assert compose(layer).config == compose(long).config
    options = ["--model.network.width=8", "--model.init_args.network.init_args.spec.weight_bits=8"]
    composed = compose("", *options)
    assert network(composed)["init_args"]["width"] == "8"  # its type is the parser's to say
    assert spec(composed)["weight_bits"] == 8


@pytest.mark.parametrize(
    ("layer", "membrane"),
    [
        ("{kind: float}", {"kind": "float"}),
        ("{kind: uniform, scale: learned}", {"kind": "uniform", "bits": 4, "scale": "learned"}),
        ("{bits: 2}", {"kind": "uniform", "bits": 2}),
        (
            "{class_path: my.Own, init_args: {n: 1}}",
            {"class_path": "my.Own", "init_args": {"n": 1}},
        ),
        ("null", None),
    ],
)
def test_another_kind_starts_anew(compose, layer, membrane):
    composed = compose(f"model: {{network: {{spec: {{membrane: {layer}}}}}}}")
    assert spec(composed) == {"preset": "imsnn", "weight_bits": 2, "membrane": membrane}


@pytest.mark.parametrize("text", [">", ">=", "|", "#1", "&x", "!!str", "*x"])
def test_what_is_empty_to_yaml_is_kept_as_it_was_written(compose, text):
    composed = compose("", f"--model.network.spec.spike.comparison={text}", f"--data.root={text}")
    assert spec(composed)["spike"] == {"comparison": text}
    assert composed.config["data"]["root"] == text


@pytest.mark.parametrize("text", ["null", "~", "''", '""'])
def test_what_stands_for_nothing_is_nothing(compose, text):
    expected = None if text in ("null", "~") else ""
    composed = compose("", f"--model.network.spec.spike.comparison={text}")
    assert spec(composed)["spike"] == {"comparison": expected}


def test_an_own_class_gives_way_to_a_kind(compose):
    own = "model: {network: {spec: {membrane: {class_path: my.Own, init_args: {n: 1}}}}}"
    composed = compose(own, "--model.network.spec.membrane.kind=float")
    assert spec(composed)["membrane"] == {"kind": "float"}
    composed = compose(own, "--model.network.spec.membrane.n=3")
    assert spec(composed)["membrane"] == {"class_path": "my.Own", "init_args": {"n": 3}}


def test_another_preset_starts_anew(compose):
    assert spec(compose("model: {network: {spec: {preset: qsnn}}}")) == {"preset": "qsnn"}
    assert spec(compose("model: {network: {spec: {preset: imsnn}}}")) == spec(compose())
    assert spec(compose("model: {network: {spec: qsnn}}")) == "qsnn"
    words = ("--model.network.spec=qsnn", "--model.network.spec.membrane_bits=4")
    assert spec(compose("", *words)) == {"preset": "qsnn", "membrane_bits": 4}


def test_another_class_keeps_for_now_what_it_may_have_too(compose):
    composed = compose("model: {network: {class_path: Other, init_args: {depth: 2}}}")
    assert list(network(composed)["init_args"]) == ["width", "spec", "depth"]
    path = ("model", "init_args", "network", "init_args")
    assert composed.inherited == {path: {"width", "spec"}}
    assert network(compose("", "--model.network=Other"))["class_path"] == "Other"
    given = compose("model: {network: {class_path: Other, init_args: {width: 2}}}")
    assert given.inherited == {path: {"spec"}}  # what is given anew is not dropped in silence


def test_a_null_leaves_a_layer_alone(compose):
    layer = "model: {network: {overrides: {'layer1.*': imsnn, fc: null}}}"
    overrides = network(compose(layer))["init_args"]["overrides"]
    assert overrides == {"layer1.*": "imsnn", "fc": None}
    words = "--model.network.overrides={'fc': {weight: {kind: float}}}"
    overrides = network(compose(layer, words))["init_args"]["overrides"]
    assert overrides["fc"] == {"weight": {"kind": "float"}}


def test_options_win_over_files_wherever_they_stand(compose, tmp_path):
    (tmp_path / "late.yaml").write_text("model: {lr: 7}")
    composed = compose("", "--model.lr", "5", "-clate.yaml")
    assert composed.config["model"]["init_args"]["lr"] == "5"
    assert composed.name == "below+layer+late"


def test_options_reach_into_lists(compose):
    callbacks = compose("", "--trainer.callbacks.n=2").config["trainer"]["callbacks"]
    assert callbacks[1] == {"class_path": "Second", "init_args": {"n": "2"}}
    callbacks = compose("", "--trainer.callbacks.0.n=2").config["trainer"]["callbacks"]
    assert callbacks[0] == {"class_path": "First", "init_args": {"n": "2"}}
    callbacks = compose("", "--trainer.callbacks+=Third").config["trainer"]["callbacks"]
    assert callbacks[2] == {"class_path": "Third"}
    callbacks = Composition.of(["--trainer.callbacks+=Third"]).config["trainer"]["callbacks"]
    assert callbacks == [{"class_path": "Third"}]


def test_places_name_the_file_or_the_option_that_counts(compose):
    composed = compose("model: {network: {width: 8}}", "--model.network.spec.weight_bits=8")
    path = ("model", "init_args", "network", "init_args")
    assert str(composed.place((*path, "width"))) == "layer.yaml: model.network.width"
    assert str(composed.place((*path, "spec", "weight_bits"))) == "--model.network.spec.weight_bits"
    kind = str(composed.place((*path, "spec", "membrane", "kind")))
    assert kind == "below.yaml: model.init_args.network.init_args.spec.membrane.kind"
    assert str(composed.find("width", 8)) == "layer.yaml: model.network.width"
    assert composed.find("width", 9) is None


def test_a_base_lies_below_the_recipe_that_names_it(compose, tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/twin.yaml").write_text("base: ../below.yaml\nmodel: {lr: 9}")
    twin = Composition.of(["-c", "inner/twin.yaml"])
    assert twin.config["model"]["init_args"]["lr"] == 9
    assert network(twin)["init_args"]["width"] == 4
    assert twin.name == "twin"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("base: bad.yaml", "bad.yaml: it is its own base"),
        (
            "base: blow.yaml",
            r"base: there is no recipe blow\.yaml; did you mean below",
        ),
        (
            f"base: {'long' * 100}",
            r"base: longlong.* cannot be read: File name too long",
        ),
        ('base: "a\\0b"', r"bad\.yaml: base: .* cannot be read: embedded null byte"),
        ("base: .", r"bad\.yaml: base: \. cannot be read: Is a directory"),
    ],
)
def test_a_base_that_cannot_be_used(text, sentence, compose, tmp_path):
    compose()
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(RecipeError, match=sentence):
        Composition.of(["-c", "bad.yaml"])


def test_what_is_the_parsers_goes_to_the_parser():
    words = ["--print_config=skip_null", "--help", "--model.help", "Net", "--data.help=Digits"]
    assert Composition.of(words).rest == words


def test_a_composed_recipe_is_plain_yaml(compose):
    composed = compose()
    assert yaml.safe_load(yaml.safe_dump(composed.config)) == composed.config


ON_TOP = "trainer: {max_epochs: 4, precision: bf16-mixed}\nmodel: {optimizer: {lr: 0.02}}\n"
RECIPE = "trainer: {max_epochs: 20}\nmodel: {class_path: Net, init_args: {optimizer: SGD}}\n"


def test_a_recipe_behind_its_overlay_is_told(tmp_path, recwarn):
    (tmp_path / "overlay.yaml").write_text(ON_TOP)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    overlay, recipe = (f"-c{tmp_path / name}.yaml" for name in ("overlay", "recipe"))
    with pytest.warns(QSNNWarning, match="give the recipe first") as told:
        Composition.of([overlay, recipe])
    (message,) = (str(warning.message) for warning in told)
    assert message.startswith(f"{tmp_path / 'recipe.yaml'} comes after what it replaces (")
    assert "overlay.yaml: trainer.max_epochs, " in message
    assert "overlay.yaml: model.optimizer.lr)" in message
    assert "precision" not in message  # which stays
    recwarn.clear()
    Composition.of([recipe, overlay])
    (tmp_path / "overlay.yaml").write_text("trainer: {max_epochs: 20, precision: 64}")
    Composition.of([overlay, recipe])  # it replaces nothing
    assert not recwarn.list
