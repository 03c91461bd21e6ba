"""A cluster of two nodes on this machine gives the local engine's bytes."""

import os
from pathlib import Path

import pytest

from jacorpus.recipe import recipe_from_tables
from jacorpus.run import run_recipe
from tests.small import public_bytes, run_small, tables, write_corpus

pytestmark = [pytest.mark.slow, pytest.mark.ray]


def test_a_two_node_cluster_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    from jacorpus.engine.ray import Ray

    folder = write_corpus(tmp_path / "in")
    run_small(folder, tmp_path / "local", task_bytes=4000)
    root = str(Path(__file__).resolve().parents[3])
    monkeypatch.setenv("PYTHONPATH", root + os.pathsep + os.environ.get("PYTHONPATH", ""))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        recipe = recipe_from_tables(tables(folder, task_bytes=4000), folder, "small")
        run_recipe(recipe, tmp_path / "ray", Ray(2))
    finally:
        cluster.shutdown()
    assert public_bytes(tmp_path / "ray") == public_bytes(tmp_path / "local")
