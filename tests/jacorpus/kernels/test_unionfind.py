"""Connected components against the naive twin."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.unionfind import components, components_naive

graphs = st.integers(1, 40).flatmap(
    lambda count: st.tuples(
        st.just(count), st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=60)
    )
)


@settings(max_examples=150, deadline=None)
@given(graphs)
def test_components_equal_naive(graph: tuple[int, list[tuple[int, int]]]) -> None:
    count, edges = graph
    a, b = (np.array([edge[side] for edge in edges], np.int64) for side in (0, 1))
    assert components(count, a, b).tolist() == components_naive(count, a.tolist(), b.tolist())


def test_a_long_chain_in_the_worst_order() -> None:
    nodes = np.arange(100_000)
    assert not components(100_000, nodes[:0:-1], nodes[-2::-1]).any()
