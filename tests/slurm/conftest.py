"""The test cluster, once for all tests of this folder."""

import pytest

from support import slurm_cluster


@pytest.fixture(scope="session")
def cluster():
    """Return a running SLURM cluster, or skip."""
    reason = slurm_cluster.missing()
    if reason:
        pytest.skip(reason)
    with slurm_cluster.running() as running:
        yield running
