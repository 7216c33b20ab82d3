"""The tables are what they should be, and a table that is not is refused with one sentence."""

from decimal import Decimal

import pytest
import yaml

from qsnn_plugins.errors import ArgumentError, DataError
from qsnn_plugins.reproduce import NETWORKS, PAPERS, RULES, load_paper
from qsnn_plugins.reproduce.paper import _paper

# Rows and printed cells, counted in the papers by hand.
SIZES = {
    ("imsnn", "V"): (21, 20 + 21 + 21),
    ("imsnn", "VI"): (12, 11 + 12 + 12),
    ("qsnn", "2"): (12, 36),
    ("sigmoid_quantizer", "III"): (23, 18 + 23),
    ("bit_budget", "1"): (22, 22 * 5),
    ("bit_budget", "5"): (23, 23 * 4),
}
COLUMNS = {
    ("imsnn", "V"): ("membrane_memory", "total_memory", "accuracy"),
    ("imsnn", "VI"): ("membrane_memory", "total_memory", "accuracy"),
    ("qsnn", "2"): ("resnet19", "vgg16", "vggsnn"),
    ("sigmoid_quantizer", "III"): ("model_size", "accuracy"),
    ("bit_budget", "1"): ("budget", "parameters", "sops", "sace", "accuracy"),
    ("bit_budget", "5"): ("parameters", "sace", "cifar10", "cifar100"),
}

GOOD = """
paper: imsnn
title: A paper
tables:
  - table: "1"
    caption: One table
    place: section 1
    columns:
      size: {title: size, unit: MB, rules: {all: convolutions}}
      accuracy: {title: Top-1, unit: "%", measured: true}
    rows:
      - row: first
        settings: {weight_bits: 4}
        printed: {size: "1.50", accuracy: "90.1"}
"""


@pytest.mark.parametrize("key", SIZES)
def test_no_row_and_no_cell_is_forgotten(key):
    paper, number = key
    rows = load_paper(paper).tables[number].rows.values()
    printed = [row.printed.get(column) for row in rows for column in COLUMNS[key]]
    assert (len(rows), sum(value is not None for value in printed)) == SIZES[key]


@pytest.mark.parametrize("paper", PAPERS)
def test_names_of_rules_and_networks_are_known(paper):
    for table in load_paper(paper).tables.values():
        networks = {part.network for part in [*table.rows.values(), *table.columns.values()]}
        networks |= {name for row in table.rows.values() for name in row.networks.values()}
        assert networks - {None} <= set(NETWORKS)
        for column in table.columns.values():
            assert set(column.rules.values()) <= set(RULES)


@pytest.mark.parametrize("paper", PAPERS)
def test_an_accuracy_is_a_percentage(paper):
    for table in load_paper(paper).tables.values():
        for row in table.rows.values():
            for column, value in row.printed.items():
                if table.columns[column].unit == "%" and value is not None:
                    assert 0 < Decimal(value) < 100


def test_a_good_table_loads():
    table = _paper(yaml.safe_load(GOOD)).tables["1"]
    assert table.rows["first"].printed == {"size": "1.50", "accuracy": "90.1"}


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"1.50"', "1.50", "size is 1.5: give a quoted number"),
        ('"1.50"', '"1.50 MB"', "size is '1.50 MB': give a quoted number"),
        ('"1.50"', "null", "size is null, and no note says why"),
        ("printed: {size", "printed: {sise", "there is no column 'sise'"),
        ("settings:", "setting:", "'setting' is not one of"),
        ("all: convolutions", "own: convolutions", "there is no group 'own'"),
        ("settings: {", "group: own\n        settings: {", "there is no group 'own'"),
        ("settings: {", "baseline: second\n        settings: {", "there is no baseline 'second'"),
        (
            "settings: {",
            "start: second\n        settings: {",
            "'second' is not a row to begin with",
        ),
        ("settings: {", "trains: false\n        settings: {", "it neither trains nor has a start"),
        ("settings: {", "networks: {sise: plif}\n        settings: {", "no column 'sise'"),
        ("settings: {", "overrides: -c x\n        settings: {", "give a list of words"),
        ("settings: {", "reasons: {size: who knows}\n        settings: {", "a reason begins with"),
        ("    rows:", "    rows:\n      - {row: first, settings: {}, printed: {}}", "twice"),
    ],
)
def test_a_bad_table_is_refused(old, new, sentence):
    with pytest.raises(DataError, match=sentence.replace("(", r"\(")):
        _paper(yaml.safe_load(GOOD.replace(old, new, 1)))


def test_an_unknown_paper_is_refused():
    with pytest.raises(ArgumentError, match="paper='imsn' is not allowed: give one of imsnn, "):
        load_paper("imsn")
