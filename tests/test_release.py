"""What is said of a version in several places is the same."""

import re
from pathlib import Path

import yaml

from qsnn_plugins import __version__, presets

ROOT = Path(__file__).parents[1]


def test_the_version_and_its_date():
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    version, date = re.search(r"^## \[(\d.*?)\] - (\S+)$", changes, re.MULTILINE).groups()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert (citation["version"], str(citation["date-released"])) == (version, date)
    assert version == __version__


def test_every_preset_cites_its_paper():
    references = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["references"]
    cited = {reference["notes"].removeprefix("preset ") for reference in references}
    assert cited == set(presets.NAMES)


def test_actions_are_pinned_by_commit():
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        used = re.findall(r"uses: (\S+)", workflow.read_text("utf-8"))
        assert used
        for action in used:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), (workflow.name, action)
        assert "\npermissions:" in workflow.read_text("utf-8")


def test_the_classifiers_have_the_tested_pythons():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    known = (ROOT / "pyproject.toml").read_text("utf-8")
    pythons = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert all(f"Programming Language :: Python :: {python}" in known for python in pythons)
