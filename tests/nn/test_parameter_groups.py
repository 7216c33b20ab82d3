"""Which parameters decay: never what is a scale, a threshold or a leak."""

import pytest
import torch
from torch import nn

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import StringNet
from qsnn_plugins.nn import UniformMembrane, parameter_groups, quantize_weights
from qsnn_plugins.snntorch import KBitLeaky, StateQuant
from qsnn_plugins.spec import MembraneSpec, QuantSpec, ThresholdSpec, WeightSpec
from qsnn_plugins.spikingjelly import QuantParametricLIFNode

LEARNED = MembraneSpec(kind="uniform", bits=4, scale="learned")
LEARNS = ThresholdSpec("ordinary")


def names(network, weight_decay_on):
    """Names of the parameters that decay, and of those that do not."""
    own = {id(p): name for name, p in network.named_parameters()}
    groups = parameter_groups(network, weight_decay_on)
    found = {group.get("weight_decay"): {own[id(p)] for p in group["params"]} for group in groups}
    assert sum(len(group["params"]) for group in groups) == len(own)
    return found.get(None, set()), found.get(0.0, set())


@pytest.mark.parametrize(
    "weight",
    [
        WeightSpec(kind="power_of_two", bits=4),
        WeightSpec(kind="uniform", bits=4, per="channel"),
        WeightSpec(kind="mint", bits=4),
        WeightSpec(kind="sigmoid", bits=4),
    ],
    ids=str,
)
@pytest.mark.parametrize("weight_decay_on", ["all", "weights"])
def test_scales_thresholds_and_leaks_never_decay(weight, weight_decay_on):
    spec = QuantSpec(LEARNED, threshold=LEARNS, weight=weight)
    network = nn.Sequential(
        *(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), QuantParametricLIFNode(spec=spec)),
        *(nn.Flatten(), nn.Linear(12, 4)),
        KBitLeaky(0.5, scale="learned", threshold_spec=LEARNS, learn_beta=True),
    )
    quantize_weights(network, weight)
    decays, others = names(network, weight_decay_on)
    matrices = {f"{layer}.parametrizations.weight.original" for layer in "04"}
    vectors = {"0.bias", "1.weight", "1.bias", "4.bias"}
    assert decays == (matrices | vectors if weight_decay_on == "all" else matrices)
    scales = {f"{layer}.parametrizations.weight.0.gamma" for layer in "04"}
    assert others >= {"2.v_threshold", "2.w", "2.membrane.scale"}
    assert others >= {"5.threshold", "5.beta", "5.membrane.scale"}
    assert weight.kind != "uniform" or others >= scales  # of shape [out, 1, 1, 1]


def test_a_scale_within_a_neuron_of_the_host_does_not_decay():
    host = nn.ModuleList([StateQuant(LEARNED), nn.Linear(2, 2)])
    assert isinstance(host[0].quantizer, UniformMembrane)
    assert names(host, "all") == ({"1.weight", "1.bias"}, {"0.quantizer.scale"})


def test_a_network_without_scales_has_one_group_where_all_decay():
    (group,) = parameter_groups(nn.Linear(2, 2), "all")
    assert "weight_decay" not in group
    assert len(group["params"]) == 2


def test_weights_of_a_paper_s_network():
    network = StringNet("4C3-AP2-8C3-GAP-FC6-FC2", spec=presets.spquant(pruned=False))
    decays, _ = names(network, "weights")
    assert decays == {n for n, _ in network.named_parameters() if n.endswith("weight.original")}
    assert torch.optim.AdamW(parameter_groups(network)).param_groups[1]["weight_decay"] == 0


def test_another_word_is_refused():
    with pytest.raises(ArgumentError, match=r"weight_decay_on='none'.*all, weights"):
        parameter_groups(nn.Linear(2, 2), "none")
