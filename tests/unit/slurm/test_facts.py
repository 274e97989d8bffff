"""What is read from SLURM's commands. `HOUSE` was recorded on the test cluster of tests/slurm."""

import pytest

from decon3d.errors import UserError
from decon3d.slurm.environment import file_system
from decon3d.slurm.facts import ASSOCIATIONS, CONFIG, SACCT, SINFO, gpus, look, minutes

HOUSE = """\
cpu1|cpu*|up|7-00:00:00|8|64000|(null)|idle
cpu2|cpu*|up|7-00:00:00|8|64000|(null)|idle
gpu1|gpu|up|2-00:00:00|8|64000|gpu:1|idle
gpu2|gpu|up|2-00:00:00|8|64000|gpu:1|idle
"""
# What larger clusters add: models, sockets, states with marks, partitions that are down or overlap.
CAMPUS = """\
n001|short|up|4:00:00|48|191000|(null)|mixed
n002|short|up|4:00:00|64+|385000+|(null)|idle~
n003|short|up|4:00:00|48|191000|(null)|drained
n001|long*|up|infinite|48|191000|(null)|mixed
g01|gpu|up|1-00:00:00|32|1|gpu:a100:4(S:0-1),nvme:1|allocated
g02|gpu|up|1-00:00:00|32|256000|gpu:v100:2(S:0),gpu:a100:1|mixed-
g03|gpu|up|1-00:00:00|32|256000|gpu:a100:4|idle*
old1|old|down|infinite|8|16000|(null)|idle
"""
CONFIGURED = """\
Configuration data as of 2026-11-22T03:46:01
AccountingStorageType   = accounting_storage/none
MinJobAge               = 300 sec
SelectType              = select/cons_tres
SLURM_VERSION           = 22.05.8
"""


def answers(nodes, config=CONFIGURED, accounting=None, associations=""):
    told = {
        SINFO: nodes,
        CONFIG: config,
        SACCT: accounting,
        (*ASSOCIATIONS, "user=me"): associations,
    }
    return lambda command: told[tuple(command)]


def test_the_test_cluster():
    cluster = look(answers(HOUSE), user="me")
    cpu, gpu = cluster.partitions
    assert (cpu.name, cpu.default, cpu.nodes, cpu.minutes) == ("cpu", True, 2, 7 * 24 * 60)
    assert (gpu.name, gpu.default, gpu.gpus, gpu.memory_mb) == ("gpu", False, {"": 2}, 64000)
    assert cluster.version == "22.05.8" and cluster.min_job_age_s == 300
    assert not cluster.accounting and not cluster.accounts and cluster.counts_gpus


def test_a_larger_cluster():
    config = CONFIGURED.replace("cons_tres", "linear")
    cluster = look(answers(CAMPUS, config, "", "lab|200\nother|50\nlab|\n"), user="me")
    short, long, gpu = cluster.partitions
    assert (short.nodes, short.broken, short.cpus, short.memory_mb) == (2, 1, 64, 385000)
    assert long.default and long.minutes is None
    assert gpu.gpus == {"a100": 5, "v100": 2} and (gpu.nodes, gpu.broken) == (2, 1)
    assert gpu.memory_mb == 256000
    assert cluster.accounting and cluster.accounts == ("lab", "other") and cluster.most_jobs == 50
    assert not cluster.counts_gpus


@pytest.mark.parametrize(
    ("nodes", "said"),
    [(None, "login node"), ("n1|cpu|up|infinite|8|9000|(null)|down\n", "working")],
)
def test_no_cluster_is_said_plainly(nodes, said):
    with pytest.raises(UserError, match=said):
        look(answers(nodes), user="me")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("infinite", None),
        ("30", 30),
        ("30:00", 30),
        ("12:30:00", 750),
        ("7-00:00:00", 10080),
        ("1-12", 2160),
    ],
)
def test_time_limits(limit, expected):
    assert minutes(limit) == expected


@pytest.mark.parametrize(
    ("gres", "expected"),
    [
        ("(null)", {}),
        ("gpu", {"": 1}),
        ("gpu:2", {"": 2}),
        ("gpu:a100", {"a100": 1}),
        ("gpu:a100:4(S:0-1),gpu:t4:2(S:1),nvme:1", {"a100": 4, "t4": 2}),
        ("shard:8", {}),
    ],
)
def test_gpus_of_a_node(gres, expected):
    assert gpus(gres) == expected


def test_the_file_system_is_that_of_the_longest_mount(tmp_path):
    mounts = f"none / overlay rw 0 0\nnas:/x {tmp_path} nfs4 rw 0 0\nnone {tmp_path}x ext4 rw 0 0\n"
    assert file_system(tmp_path / "clone", mounts) == "nfs4"
    assert file_system(tmp_path.parent, mounts) == "overlay"
