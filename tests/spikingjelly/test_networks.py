"""The neurons stand without the host's model builders, which differ from version to version."""

import subprocess
import sys

import pytest

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spikingjelly import build_network
from qsnn_plugins.spikingjelly.legacy import IS_LEGACY

LOADED = """
import sys
import qsnn_plugins.spikingjelly
print([name for name in sys.modules if name.startswith("spikingjelly.activation_based.model")])
"""


@pytest.mark.slow
def test_importing_the_neurons_imports_no_model_builder():
    process = subprocess.run(
        [sys.executable, "-c", LOADED], check=True, capture_output=True, text=True
    )
    assert process.stdout.strip() == "[]"


@pytest.mark.skipif(not IS_LEGACY, reason="2.0 and later have Spikformer")
def test_a_network_that_the_host_lacks_is_refused():
    with pytest.raises(ArgumentError, match=r"0\.0\.0\.0\.14 has no Spikformer"):
        build_network("spikformer_2_384", classes=10)


def test_sew_resnets_are_over_images():
    with pytest.raises(ArgumentError, match="in_channels=2"):
        build_network("sew_resnet34", classes=10, in_channels=2)
