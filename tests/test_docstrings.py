"""Every public name says what it is and has an example; doctest runs them all."""

import importlib
import inspect
import re

import pytest

PACKAGES = [
    "functional",
    "nn",
    "spec",
    "presets",
    "spikingjelly",
    "snntorch",
    "models",
    "data",
    "lightning",
    "cost",
    "reproduce",
]
PUBLIC = [
    (f"{package}.{name}", value)
    for package in PACKAGES
    for module in [importlib.import_module(f"qsnn_plugins.{package}")]
    for name in module.__all__
    if inspect.isroutine(value := getattr(module, name)) or inspect.isclass(value)
    if value.__module__.startswith("qsnn_plugins")
]


def lacks(value):
    text = inspect.getdoc(value) or ""
    parts = ["Example:", ">>> "]
    if inspect.isfunction(value) and len(inspect.signature(value).parameters) > 1:
        parts += ["Args:"]
    return [part for part in parts if part not in text]


@pytest.mark.parametrize("value", [pytest.param(v, id=name) for name, v in PUBLIC])
def test_a_public_name_has_an_example(value):
    assert not lacks(value)


def test_tensor_functions_give_shapes_and_errors():
    for name, value in PUBLIC:
        if name.startswith("functional.") and inspect.isfunction(value):
            text = inspect.getdoc(value)
            assert re.search(r"shape|Returns:", text), name
            if "raise " in inspect.getsource(value):
                assert "Raises:" in text, name


def test_the_check_can_fail():
    def undocumented(first, second):
        """Does something."""

    assert lacks(undocumented) == ["Example:", ">>> ", "Args:"]
