"""The test cluster, once for all tests of this folder."""

import cluster as test_cluster
import pytest


@pytest.fixture(scope="session")
def cluster():
    """Return a running SLURM cluster, or skip."""
    reason = test_cluster.missing()
    if reason:
        pytest.skip(reason)
    with test_cluster.running() as running:
        yield running
