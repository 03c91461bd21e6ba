"""Energon's metadataset: YAML with a weight of documents for each domain."""

import pytest

from mixing.domains import Domain, Domains
from mixing.exports.energon import files
from mixing.mixture import Mixture


def test_yaml_reads_a_blend_by_documents() -> None:
    yaml = pytest.importorskip("yaml")
    name = "ja: 'web' \"é\""
    there = Domains.of([Domain(name, "ja", "x", 9000, 1, 10), Domain("short", "ja", "x", 1000, 1, 10)])
    found = yaml.safe_load(files(Mixture({name: 0.9, "short": 0.1}, there), "")["metadataset.yaml"])
    assert found == {
        "__module__": "megatron.energon",
        "__class__": "MetadatasetV2",
        "splits": {
            "train": {"blend": [{"weight": 0.5, "path": f"./{name}"}, {"weight": 0.5, "path": "./short"}]},
        },
    }
