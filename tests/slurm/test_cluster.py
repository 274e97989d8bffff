"""The test cluster itself: that it leaves nothing behind."""

from pathlib import Path

import pytest

from support.slurm_cluster import CONFIG, MARK, NODES, missing, running


def marked_processes(folder):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={folder}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes())
        except OSError:
            continue
    return found


def test_the_cluster_ends_exactly_what_it_started():
    if missing() or CONFIG.exists():
        pytest.skip(missing() or "the session's cluster is running")
    with running() as cluster:
        assert cluster.nodes("idle") == set(NODES)
        cluster.call(
            "sbatch", "--partition=gpu", "--gpus=1", "--wrap=sleep 300", "--output=/dev/null"
        )
        assert len(marked_processes(cluster.folder)) >= 6
    assert not marked_processes(cluster.folder)
    assert not CONFIG.is_symlink() and not cluster.folder.exists()
